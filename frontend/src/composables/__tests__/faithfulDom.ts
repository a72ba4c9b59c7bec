// In browsers `nodeName` is one getter of Node that knows every kind of node; the DOM of the tests
// has one per kind, and an empty one on Node, which is the one that the sanitiser asks.
const KINDS: Record<number, string> = { 3: '#text', 8: '#comment', 9: '#document' }

Object.defineProperty(Node.prototype, 'nodeName', {
  configurable: true,
  get(this: Node): string {
    return this instanceof Element ? this.tagName : (KINDS[this.nodeType] ?? '')
  },
})

// What hostile markup asks to be loaded is not loaded here, and that is no news.
interface WithSettings {
  happyDOM: { settings: { handleDisabledFileLoadingAsSuccess: boolean } }
}
;(window as unknown as WithSettings).happyDOM.settings.handleDisabledFileLoadingAsSuccess = true
