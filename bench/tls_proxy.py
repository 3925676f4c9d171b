"""TLS before a relay that has none: ``python -m bench.tls_proxy PORT TARGET PEM``; PEM holds key and
certificate.

Loopback only. Everybody who is compared goes through the same one.

Limits: it works on the same cores as the contenders and the sink, and caps what the fastest can show.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

from bench.delay_proxy import serve


def main() -> None:
    """Serve until killed."""
    port, target, pem = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    asyncio.run(serve(int(port), int(target), delay=0.0, context=context))


if __name__ == "__main__":
    main()
