import {
  defaultRangeExtractor,
  elementScroll,
  measureElement,
  useVirtualizer,
  type Virtualizer,
} from '@tanstack/vue-virtual'
import { computed, nextTick, onBeforeUnmount, onMounted, ref, watch, type Ref } from 'vue'

import { estimateOf, type View } from './useMessageList'

/** Within this distance of the end one counts as being there. */
const END_PX = 48
/** Air below the newest message. */
const END_GAP_PX = 8
/** What is scrolled to is shown with a little of what stands before it. */
const START_GAP_PX = 72
/** From here on older messages are fetched, so that nobody waits for them. */
const NEAR_TOP_PX = 1_200

interface Options {
  scroller: Ref<HTMLElement | null>
  /** As high as all rows together. */
  sizer: Ref<HTMLElement | null>
  view: Ref<View>
  /** Rows that stay in the page though they are out of sight: under edit, or with the focus. */
  pinned: () => number[]
  nearTop: () => void
  /** Whether it begins at the newest row. */
  fromEnd: boolean
}

/**
 * The rows of a conversation, those in sight only: it stays at the end while one is there, and
 * keeps what one reads in its place when older rows come above it or rows change their height.
 */
export function useScrollAnchor(options: Options) {
  const { scroller, sizer, view } = options
  const atEnd = ref(options.fromEnd)

  const rowOf = (key: string): HTMLElement | null =>
    sizer.value?.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`) ?? null
  /** Where the row's own content begins, below a divider that may come and go. */
  const topOf = (row: HTMLElement): number =>
    (row.querySelector('[data-anchor]') ?? row).getBoundingClientRect().top

  function firstInSight(): { key: string; top: number } | null {
    const edge = scroller.value?.getBoundingClientRect().top ?? 0
    for (const row of sizer.value?.querySelectorAll<HTMLElement>('[data-key]') ?? []) {
      const key = row.dataset.key
      if (key !== undefined && row.getBoundingClientRect().bottom > edge + 1)
        return { key, top: topOf(row) }
    }
    return null
  }

  // The row that was the first one loses its divider when older ones come above it. This looks
  // before the virtual list, below, moves anything.
  watch(view, async (now, before) => {
    const same = now.rows[0]?.key === before.rows[0]?.key
    if (atEnd.value || (same && now.reachedStart === before.reachedStart)) return
    const seen = firstInSight()
    await nextTick()
    const row = seen && rowOf(seen.key)
    if (!row || !scroller.value) return
    const moved = topOf(row) - seen.top
    if (Math.abs(moved) >= 1) scroller.value.scrollTop += moved
    // Those below it follow at once, not with the next frame's measurement. So do those below the
    // row that was the first, out of sight: by the next frame one may have scrolled to it.
    const first = before.rows[0]
    for (const each of new Set([row, first ? rowOf(first.key) : null]))
      if (each) virtualizer.value.resizeItem(Number(each.dataset.index), each.offsetHeight)
  })

  const virtualizer = useVirtualizer<HTMLElement, HTMLElement>(
    computed(() => {
      const { rows } = view.value
      return {
        count: rows.length,
        getScrollElement: () => scroller.value,
        getItemKey: (index: number) => rows[index]?.key ?? index,
        estimateSize: (index: number) => estimateOf(rows[index]),
        overscan: 10,
        paddingEnd: END_GAP_PX,
        scrollPaddingStart: START_GAP_PX,
        anchorTo: 'end' as const,
        followOnAppend: true,
        scrollEndThreshold: END_PX,
        // The browser tells sizes before it paints; asking for one of a row that has just come
        // would have it lay out the page for each.
        measureElement: (
          element: HTMLElement,
          entry: ResizeObserverEntry | undefined,
          instance: Virtualizer<HTMLElement, HTMLElement>,
        ) => {
          if (entry) return measureElement(element, entry, instance)
          const index = instance.indexFromElement(element)
          const key = rows[index]?.key ?? index
          return instance.itemSizeCache.get(key) ?? estimateOf(rows[index])
        },
        // A browser scrolls no further than there is something to see.
        scrollToFn: (
          offset: number,
          how: { adjustments?: number; behavior?: ScrollBehavior },
          instance: Virtualizer<HTMLElement, HTMLElement>,
        ) => {
          fit(instance)
          elementScroll(offset, how, instance)
        },
        rangeExtractor: (range: Parameters<typeof defaultRangeExtractor>[0]) => {
          const shown = defaultRangeExtractor(range)
          const far = options.pinned().filter((index) => index >= 0 && !shown.includes(index))
          return far.length === 0 ? shown : [...shown, ...far].sort((a, b) => a - b)
        },
      }
    }),
  )
  virtualizer.value.shouldAdjustScrollPositionOnItemSizeChange = (item, _delta, instance) => {
    const offset = instance.scrollOffset ?? 0
    if (instance.itemSizeCache.has(item.key)) return item.end <= offset
    return item.start < offset || (instance.scrollDirection === 'backward' && isAboveKnown(item))
  }

  /** Whether a row in sight below it has been measured: one has seen that, and it stays there. */
  function isAboveKnown({ index }: { index: number }): boolean {
    const { range, options: current, itemSizeCache } = virtualizer.value
    for (let below = index + 1; below <= (range?.endIndex ?? -1); below += 1)
      if (itemSizeCache.has(current.getItemKey(below))) return true
    return false
  }

  function fit(instance: Virtualizer<HTMLElement, HTMLElement>): void {
    if (sizer.value) sizer.value.style.height = `${instance.getTotalSize()}px`
  }
  watch(
    () => virtualizer.value.getTotalSize(),
    () => {
      fit(virtualizer.value)
      // Rows that grew together: the last of them may be a little below.
      if (atEnd.value && scroller.value) scroller.value.scrollTop = scroller.value.scrollHeight
    },
    { flush: 'post' },
  )

  function look(): void {
    const element = scroller.value
    if (!element) return
    atEnd.value = element.scrollHeight - element.scrollTop - element.clientHeight <= END_PX
    if (element.scrollTop < NEAR_TOP_PX) options.nearTop()
  }

  function toEnd(behavior: ScrollBehavior = 'auto'): void {
    virtualizer.value.scrollToEnd({ behavior: behavior === 'instant' ? 'auto' : behavior })
  }

  /** Scrolls a row into sight and gives its element. */
  async function reveal(index: number): Promise<HTMLElement | null> {
    const key = view.value.rows[index]?.key
    if (key === undefined) return null
    if (rowOf(key) === null) virtualizer.value.scrollToIndex(index, { align: 'auto' })
    // The virtual list needs a frame to bring it into the page.
    for (let frame = 0; frame < 5 && rowOf(key) === null; frame += 1)
      await new Promise(requestAnimationFrame)
    return rowOf(key)
  }

  // The list grows smaller when the composer grows: whoever was at the end stays there.
  let height = 0
  const observer = new ResizeObserver(([entry]) => {
    const now = entry?.contentRect.height ?? 0
    if (now !== height && atEnd.value && height !== 0) toEnd()
    height = now
  })
  onMounted(() => {
    if (scroller.value) observer.observe(scroller.value)
  })
  onBeforeUnmount(() => observer.disconnect())

  return { virtualizer, atEnd, look, toEnd, reveal }
}
