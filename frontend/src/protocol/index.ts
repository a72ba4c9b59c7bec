// Made by `make docs` from the gateway's types. Do not edit.

export * from './closeCodes'
export * from './errorCodes'
export * from './frames'
export * from './rest'
