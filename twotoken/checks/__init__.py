"""The system checks that twotoken adds to ``manage.py check``. The id of a removed check is never used again."""

from __future__ import annotations

from twotoken.checks.caches import CACHE_FAULTS, check_deployed_cache, check_deployed_proofs, uses_proofs
from twotoken.checks.databases import check_claims_of_latest, check_cluster, check_deployed_statements
from twotoken.checks.project import (
    check_authenticators,
    check_permissions,
    check_tenants,
    check_time_zone,
    check_user_id,
)
from twotoken.checks.rules import RULES, are_fine
from twotoken.checks.services import check_discovery, check_published_keys
from twotoken.checks.settings import (
    check_claims,
    check_cookie,
    check_deployed_cookie,
    check_graces,
    check_issuer,
    check_lifetimes,
    check_proofs,
    check_revocation_interval,
    check_secrets,
    check_shape,
)
from twotoken.checks.urls import check_mounts, check_step_up, mounts

CHECKS = (
    check_shape,
    check_secrets,
    check_lifetimes,
    check_revocation_interval,
    check_proofs,
    check_cookie,
    check_mounts,
    check_claims,
    check_issuer,
    check_tenants,
    check_user_id,
    check_authenticators,
    check_permissions,
    check_graces,
    check_step_up,
    check_time_zone,
    check_discovery,
)
DEPLOY_CHECKS = (
    check_deployed_cookie,
    check_deployed_cache,
    check_deployed_proofs,
    check_deployed_statements,
    check_published_keys,
)
DATABASE_CHECKS = (check_cluster, check_claims_of_latest)

__all__ = [
    "CACHE_FAULTS",
    "CHECKS",
    "DATABASE_CHECKS",
    "DEPLOY_CHECKS",
    "RULES",
    "are_fine",
    "check_authenticators",
    "check_claims",
    "check_claims_of_latest",
    "check_cluster",
    "check_cookie",
    "check_deployed_cache",
    "check_deployed_cookie",
    "check_deployed_proofs",
    "check_deployed_statements",
    "check_discovery",
    "check_graces",
    "check_issuer",
    "check_lifetimes",
    "check_mounts",
    "check_permissions",
    "check_proofs",
    "check_published_keys",
    "check_revocation_interval",
    "check_secrets",
    "check_shape",
    "check_step_up",
    "check_tenants",
    "check_time_zone",
    "check_user_id",
    "mounts",
    "uses_proofs",
]
