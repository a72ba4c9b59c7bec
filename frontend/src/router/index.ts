import { createRouter, createWebHistory, type Router } from 'vue-router'

import { safePath } from '@/composables/safePath'
import { useSessionStore } from '@/stores/session'

declare module 'vue-router' {
  interface RouteMeta {
    /** Only for people who are logged in. */
    private?: boolean
    /** Only for those who are not. */
    strangers?: boolean
  }
}

/** `restored` settles when it is known who is logged in. */
export function makeRouter(restored: Promise<void>): Router {
  const router = createRouter({
    history: createWebHistory(),
    routes: [
      {
        path: '/login',
        name: 'login',
        component: () => import('@/views/LoginView.vue'),
        meta: { strangers: true },
      },
      {
        path: '/register',
        name: 'register',
        component: () => import('@/views/RegisterView.vue'),
        meta: { strangers: true },
      },
      {
        path: '/',
        component: () => import('@/views/ChatView.vue'),
        meta: { private: true },
        children: [
          { path: '', name: 'home', component: () => import('@/components/ChannelNone.vue') },
          {
            path: 'c/:channelId(\\d+)',
            name: 'channel',
            component: () => import('@/components/ChannelPane.vue'),
            props: ({ params }) => ({ channelId: Number(params.channelId) }),
          },
        ],
      },
      {
        path: '/settings',
        name: 'settings',
        component: () => import('@/views/SettingsView.vue'),
        meta: { private: true },
      },
      {
        path: '/admin',
        name: 'admin',
        component: () => import('@/views/AdminView.vue'),
        meta: { private: true },
      },
      {
        path: '/:rest(.*)*',
        name: 'unknown',
        component: () => import('@/views/NotFoundView.vue'),
      },
    ],
  })
  router.beforeEach(async (to) => {
    await restored
    const session = useSessionStore()
    const inside = session.phase === 'authenticated'
    if (to.meta.private && !inside) return { name: 'login', query: { next: to.fullPath } }
    if (to.meta.strangers && inside) return safePath(to.query.next)
    return true
  })
  return router
}
