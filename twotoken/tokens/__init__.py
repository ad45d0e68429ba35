"""The codec of access tokens and refresh tokens, and their claims. Pure: no Django, no database."""

from __future__ import annotations

from twotoken.tokens.claims import (
    RESERVED_CLAIMS,
    AccessToken,
    RefreshClaims,
    check_auth_event,
    check_claims,
)
from twotoken.tokens.codec import (
    ACCESS_TYPE,
    MAX_TIME,
    REFRESH_TYPE,
    SHORTEST_LIFE,
    AccessPolicy,
    decode_access,
    decode_refresh,
    encode_access,
    encode_refresh,
)
from twotoken.tokens.identifiers import (
    CURSOR,
    family_digest,
    token_id,
    token_id_fits,
)

__all__ = [
    "ACCESS_TYPE",
    "CURSOR",
    "MAX_TIME",
    "REFRESH_TYPE",
    "RESERVED_CLAIMS",
    "SHORTEST_LIFE",
    "AccessPolicy",
    "AccessToken",
    "RefreshClaims",
    "check_auth_event",
    "check_claims",
    "decode_access",
    "decode_refresh",
    "encode_access",
    "encode_refresh",
    "family_digest",
    "token_id",
    "token_id_fits",
]
