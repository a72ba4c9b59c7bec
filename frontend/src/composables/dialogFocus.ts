/**
 * Where the focus goes when a dialog opens, as listeners of `open-auto-focus`. By itself it would go
 * to the first thing that takes it, which is the button that closes.
 */

/** To the first field, if there is one; not on a touch screen, where the keyboard would jump up. */
export function focusFirstField(event: Event): void {
  const dialog = event.currentTarget as HTMLElement
  const field = dialog.querySelector<HTMLElement>(
    'input:not([type="hidden"]):not(:disabled), textarea:not(:disabled)',
  )
  if (field !== null && window.matchMedia('(pointer: fine)').matches) {
    event.preventDefault()
    field.focus()
  } else {
    focusItself(event)
  }
}

/** To the dialog as a whole: it is read out, and the next Tab goes to its first part. */
export function focusItself(event: Event): void {
  event.preventDefault()
  const dialog = event.currentTarget as HTMLElement
  dialog.tabIndex = -1
  dialog.focus()
}
