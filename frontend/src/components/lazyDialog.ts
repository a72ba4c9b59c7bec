import {
  defineAsyncComponent,
  defineComponent,
  h,
  onBeforeUnmount,
  onMounted,
  type Component,
} from 'vue'

/** After this the page has what it needs, and fetches what may be opened while offline. */
const SETTLED_MS = 4_000

/**
 * A dialog (with the model `open`) whose code is no part of the first load: it comes when the page
 * has settled, or sooner when somebody opens it.
 */
export function lazyDialog<Dialog extends Component>(
  load: () => Promise<{ default: Dialog }>,
): Dialog {
  const Loaded = defineAsyncComponent(load)
  return defineComponent({
    inheritAttrs: false,
    setup(_, { attrs }) {
      let used = false
      let timer: ReturnType<typeof setTimeout> | undefined
      onMounted(() => {
        // Who opens it while it cannot be fetched is told by the browser's own failure then.
        timer = setTimeout(() => void load().catch(() => undefined), SETTLED_MS)
      })
      onBeforeUnmount(() => clearTimeout(timer))
      return () => {
        used ||= Boolean(attrs.open)
        return used ? h(Loaded, attrs) : null
      }
    },
  }) as unknown as Dialog
}
