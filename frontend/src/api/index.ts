export { ApiError } from './errors'
