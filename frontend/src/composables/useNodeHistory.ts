import { shallowRef, watch, type Ref } from 'vue'

import type { ServerNode } from '@/stores/server'

/** Two minutes, at a look every two seconds. */
const MOST = 60

/** The last rates of messages, of each node and of all together. */
export function useNodeHistory(nodes: Ref<ServerNode[]>) {
  const ofNode = shallowRef(new Map<string, number[]>())
  const ofAll = shallowRef<number[]>([])

  watch(
    nodes,
    (now) => {
      if (now.length === 0) return
      const next = new Map<string, number[]>()
      // A node that is gone takes its line with it.
      for (const { node, messages_per_second: rate } of now)
        next.set(node, [...(ofNode.value.get(node) ?? []), rate].slice(-MOST))
      const sum = now.reduce((all, { messages_per_second: rate }) => all + rate, 0)
      ofNode.value = next
      ofAll.value = [...ofAll.value, sum].slice(-MOST)
    },
    { immediate: true },
  )

  return { ofNode, ofAll }
}
