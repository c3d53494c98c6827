"""A small HTTP/2 that carries unary gRPC calls of raw bytes, on asyncio.

Reading order: `call` (what handlers and callers see), `server` and `client` (what the processor uses), `serving` and `calling`
(one connection of each), `connection` (what both ends share), then the parts: `frames`, `settings`, `headers`, `windows`,
`grpc`, `limits`.
"""
