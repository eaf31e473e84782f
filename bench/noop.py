"""The endpoint everything is measured against: the same token and proof check, and then nothing.

python -m bench.noop ISSUER SEED_HEX PORT
"""

import logging
import sys

import uvicorn
from fastapi import FastAPI, Request, Response

from consent.oauth.profile import Profile
from consent.oauth.tokens import IssuerKeys
from vault.api import verify


def app(profile: Profile) -> FastAPI:
    """One route that verifies and answers."""
    application = FastAPI()
    protection = profile.protection()

    @application.post("/v1/queries")
    async def nothing(request: Request) -> Response:
        """Reads the body, as a real route would."""
        verify(protection, request)
        await request.body()
        return Response(b"{}", media_type="application/json")

    return application


def main() -> None:
    """Serves until it is stopped."""
    issuer, seed, port = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    profile = Profile(issuer, IssuerKeys.from_seeds([bytes.fromhex(seed)]))
    uvicorn.run(app(profile), host="127.0.0.1", port=int(port), access_log=False, log_level="critical")


if __name__ == "__main__":
    main()
