import { gather } from '../gather'

export default gather(import.meta.glob<{ default: unknown }>('./*.json', { eager: true }))
