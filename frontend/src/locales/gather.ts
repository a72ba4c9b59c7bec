/** A tree of texts. */
export interface Texts {
  [key: string]: string | Texts
}

/**
 * Joins the files of a language: `./auth.json` is what `t('auth.…')` finds.
 * A file may name its area once more at its top.
 */
export function gather(files: Record<string, { default: unknown }>): Record<string, Texts> {
  return Object.fromEntries(
    Object.entries(files).map(([path, file]) => {
      const area = path.replace(/^.*\/|\.json$/g, '')
      const texts = file.default as Texts
      const inner = texts[area]
      const named = Object.keys(texts).length === 1 && typeof inner === 'object'
      return [area, named ? inner : texts]
    }),
  )
}
