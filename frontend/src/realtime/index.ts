export { backoff } from './backoff'
export type { Filled } from './channelLogs'
export { CommandError, isRetryable } from './commands'
export { browserEnvironment, type Environment, type Socket, type Timer } from './environment'
export type { History } from './filler'
export { GatewayClient, type GatewayClientOptions } from './gatewayClient'
export { Outbox, type Exclusively, type OutboxOptions } from './outbox'
export {
  IndexedDbOutboxStorage,
  MemoryOutboxStorage,
  type OutboxEntry,
  type OutboxStorage,
} from './outboxStorage'
export type { ClosedReason, ConnectionStatus } from './status'
