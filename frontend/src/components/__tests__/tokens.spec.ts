import { describe, expect, it } from 'vitest'

import css from '@/styles/main.css?raw'

type Colour = [number, number, number]

function tokens(selector: string): (name: string) => Colour {
  const block = css.split(`\n${selector} {`)[1]?.split('\n}')[0] ?? ''
  const values = new Map(
    [...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]),
  )
  return (name) => {
    const value = values.get(name)
    if (value === undefined) throw new Error(`${selector} has no --${name}`)
    return [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16) / 255) as Colour
  }
}

function luminance(colour: Colour): number {
  const [r, g, b] = colour.map((part) =>
    part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4,
  ) as Colour
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

function contrast(a: Colour, b: Colour): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x)
  return (light + 0.05) / (dark + 0.05)
}

const mixed = (over: Colour, under: Colour, share: number): Colour =>
  over.map((part, at) => part * share + (under[at] ?? 0) * (1 - share)) as Colour

describe.each([':root', '.dark'])('the colours of %s', (selector) => {
  const colour = tokens(selector)

  it.each(['ink', 'muted', 'accent', 'danger', 'ok', 'warn'])(
    'let %s be read on every ground',
    (text) => {
      for (const ground of ['surface', 'raised', 'sunken', 'side', 'side-active'])
        expect(contrast(colour(text), colour(ground)), ground).toBeGreaterThanOrEqual(4.5)
    },
  )

  it.each([
    ['on-accent', 'accent'],
    ['on-accent', 'accent-strong'],
    ['on-danger', 'danger'],
    ['on-danger', 'danger-strong'],
    ['ink', 'line'],
  ])('let %s be read on %s', (text, ground) => {
    expect(contrast(colour(text), colour(ground))).toBeGreaterThanOrEqual(4.5)
  })

  it.each([
    ['ok', 0.15],
    ['warn', 0.15],
    ['danger', 0.1],
  ])('let %s be read on a tint of itself', (text, share) => {
    const ground = mixed(colour(text), colour('surface'), share)
    expect(contrast(colour(text), ground)).toBeGreaterThanOrEqual(4.5)
  })

  it('show where a field or a switch ends', () => {
    for (const ground of ['surface', 'raised', 'side'])
      expect(contrast(colour('edge'), colour(ground)), ground).toBeGreaterThanOrEqual(3)
  })
})

it('has the same colours in both themes', () => {
  const names = (selector: string) =>
    [...(css.split(`\n${selector} {`)[1]?.split('\n}')[0] ?? '').matchAll(/--([\w-]+):/g)]
      .map(([, name]) => name)
      .sort()
  expect(names('.dark')).toEqual(names(':root'))
})
