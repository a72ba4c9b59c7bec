/** Whether the browser let us put the text into the clipboard. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return copySelected(text)
  }
}

/** The old way: over plain HTTP, as in a home network, a page has no other. */
function copySelected(text: string): boolean {
  const before = document.activeElement
  const field = document.createElement('textarea')
  field.value = text
  field.className = 'sr-only'
  // Within an open dialog, which would take the focus back from anywhere else.
  ;(before?.closest('[role="dialog"]') ?? document.body).append(field)
  field.focus({ preventScroll: true })
  field.select()
  try {
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is nothing newer here
    return document.execCommand('copy')
  } catch {
    return false
  } finally {
    field.remove()
    if (before instanceof HTMLElement) before.focus({ preventScroll: true })
  }
}
