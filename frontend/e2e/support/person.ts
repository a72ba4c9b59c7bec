import type { Gateway } from './gateway'

export const PASSWORD = 'correct horse battery'

interface Said {
  id: number
  seq: number
  payload: string
}

/** Somebody who uses the HTTP API, beside those who use the page. */
export class Person {
  private token = ''

  private constructor(
    private readonly gateway: Gateway,
    readonly id: string,
  ) {}

  static async register(gateway: Gateway, id: string, displayName?: string): Promise<Person> {
    const person = new Person(gateway, id)
    await person.ask('POST', '/auth/register', {
      user_id: id,
      password: PASSWORD,
      ...(displayName === undefined ? {} : { display_name: displayName }),
    })
    const login = await person.ask<{ access_token: string }>('POST', '/auth/login', {
      user_id: id,
      password: PASSWORD,
    })
    person.token = login.access_token
    return person
  }

  async join(channelId: number): Promise<void> {
    await this.ask('POST', `/channels/${channelId}/join`)
  }

  async createChannel(name: string, visibility = 'public', topic = ''): Promise<number> {
    const body = { name, visibility, topic }
    return (await this.ask<{ id: number }>('POST', '/channels', body)).id
  }

  async invite(channelId: number, userId: string): Promise<void> {
    await this.ask('POST', `/channels/${channelId}/members`, { user_id: userId })
  }

  async setRole(channelId: number, userId: string, role: string): Promise<void> {
    await this.ask('PATCH', `/channels/${channelId}/members/${userId}`, { role })
  }

  async direct(userId: string): Promise<number> {
    return (await this.ask<{ id: number }>('POST', '/direct', { user_id: userId })).id
  }

  async say(channelId: number, payload: string): Promise<Said> {
    return this.ask<Said>('POST', `/channels/${channelId}/messages`, { payload })
  }

  async react(channelId: number, messageId: number, emoji: string): Promise<void> {
    const name = encodeURIComponent(emoji)
    await this.ask('PUT', `/channels/${channelId}/messages/${messageId}/reactions/${name}`)
  }

  /** Every message of a channel, oldest first. */
  async history(channelId: number): Promise<Said[]> {
    const all: Said[] = []
    for (;;) {
      const before = all[0] === undefined ? '' : `&before=${all[0].seq}`
      const page = await this.ask<Said[]>(
        'GET',
        `/channels/${channelId}/messages?limit=200${before}`,
      )
      all.unshift(...page.reverse())
      if (page.length < 200) return all
    }
  }

  async ask<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    for (;;) {
      const answer = await fetch(this.gateway.url + path, {
        method,
        headers: {
          ...(this.token === '' ? {} : { Authorization: `Bearer ${this.token}` }),
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await answer.text()
      if (answer.status === 429) {
        const seconds = Number(answer.headers.get('retry-after') ?? '1')
        await new Promise((wake) => setTimeout(wake, seconds * 1000))
        continue
      }
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
      return (text === '' ? null : JSON.parse(text)) as T
    }
  }
}
