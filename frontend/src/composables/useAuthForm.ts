import { computed, nextTick, onScopeDispose, reactive, ref } from 'vue'
import { useI18n } from 'vue-i18n'
import { useRoute, useRouter } from 'vue-router'

import { asApiError } from '@/api'
import { safePath } from '@/composables/safePath'
import { useErrorText } from '@/composables/useErrorText'

const USER_ID = /^[A-Za-z0-9._@+-]{1,64}$/
const PASSWORD = { least: 8, most: 128 }

/** As the server counts: code points. */
const characters = (text: string): number => Array.from(text).length

/** What the forms of login and sign-up have in common: fields, their checks, and the answer. */
export function useAuthForm(
  submit: (fields: { userId: string; password: string }) => Promise<void>,
) {
  const { t } = useI18n()
  const route = useRoute()
  const router = useRouter()
  const errorText = useErrorText()

  const fields = reactive({ userId: '', password: '', displayName: '' })
  const errors = reactive<{ userId: string | null; password: string | null }>({
    userId: null,
    password: null,
  })
  const refusal = ref<string | null>(null)
  const busy = ref(false)
  /** Seconds until another attempt is allowed. */
  const wait = ref(0)
  let timer: ReturnType<typeof setInterval> | undefined
  onScopeDispose(() => clearInterval(timer))

  const other = computed(() => (route.query.next ? { next: route.query.next } : {}))

  /** `strict`: for a new user; at a login the server decides alone. */
  function check(strict: boolean): boolean {
    const userId = fields.userId.trim()
    errors.userId = errors.password = null
    if (userId === '') errors.userId = t('auth.userId.missing')
    else if (strict && (!USER_ID.test(userId) || /^\.+$/.test(userId)))
      errors.userId = t('auth.userId.wrong')
    if (fields.password === '') errors.password = t('auth.password.missing')
    else if (strict && characters(fields.password) < PASSWORD.least)
      errors.password = t('auth.password.short', PASSWORD.least)
    else if (strict && characters(fields.password) > PASSWORD.most)
      errors.password = t('auth.password.long', PASSWORD.most)
    return errors.userId === null && errors.password === null
  }

  async function send(strict: boolean): Promise<void> {
    if (busy.value || wait.value > 0) return
    if (!check(strict)) {
      await toFault()
      return
    }
    busy.value = true
    refusal.value = null
    try {
      await submit({ userId: fields.userId.trim(), password: fields.password })
      await router.replace(safePath(route.query.next))
    } catch (error) {
      const failure = asApiError(error)
      if (failure.code === 'name_taken') errors.userId = t('auth.userId.taken')
      else refusal.value = errorText(failure)
      if (failure.status === 429) countDown(Math.ceil((failure.retryAfterMs ?? 5_000) / 1000))
    } finally {
      busy.value = false
    }
    await toFault()
  }

  /** The focus goes to the first field that is wrong; its error is read out with it. */
  async function toFault(): Promise<void> {
    await nextTick()
    document.querySelector<HTMLElement>('form [aria-invalid="true"]')?.focus()
  }

  function countDown(seconds: number): void {
    wait.value = seconds
    clearInterval(timer)
    timer = setInterval(() => {
      wait.value -= 1
      if (wait.value > 0) return
      clearInterval(timer)
      refusal.value = null
    }, 1000)
  }

  return { fields, errors, refusal, busy, wait, other, send }
}
