import { createPinia } from 'pinia'
import { createApp } from 'vue'

import App from './App.vue'
import { i18n } from './i18n'
import { makeRouter } from './router'
import { useConnectionStore } from './stores/connection'
import { usePreferencesStore } from './stores/preferences'
import { useSessionStore } from './stores/session'
import './styles/main.css'

const app = createApp(App).use(createPinia()).use(i18n)
const session = useSessionStore()
useConnectionStore()
const restored = session.restore()
// Texts first: a page without words is worse than one a moment later.
await usePreferencesStore().start()
app.use(makeRouter(restored)).mount('#app')
