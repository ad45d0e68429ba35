"""Known weaknesses of token authentication, each with the tests that show that twotoken does not have it."""

from __future__ import annotations

from typing import NamedTuple


class Weakness(NamedTuple):
    """A weakness: what it is, where it was found, and the tests against it as ``module.function``."""

    what: str
    seen: str
    tests: tuple[str, ...]


WEAKNESSES = [
    # The token as a string.
    Weakness(
        "alg none is accepted, in any spelling",
        "CVE-2015-9235 and many since",
        ("test_tokens.test_bad_headers", "conformance.test_tokens.test_forged_tokens"),
    ),
    Weakness(
        "key confusion: a public key is used as an HMAC secret",
        "DSA-3293, CVE-2017-11424, CVE-2022-29217 (PyJWT), CVE-2024-33663 (python-jose)",
        ("test_keys.test_bad_secrets", "test_tokens.test_bad_headers", "proof.test_hostile.test_a_foreign_key"),
    ),
    Weakness(
        "the header's algorithm is used instead of the key's",
        "CVE-2026-48523 (PyJWT)",
        ("test_tokens.test_another_digest_under_the_same_name", "conformance.test_tokens.test_forged_tokens"),
    ),
    Weakness(
        "with an empty or missing key the signature is not checked",
        "simplejwt 5.2.1, PyJWT before 2.13",
        (
            "test_tokens.test_another_key",
            "test_keys.test_bad_secrets",
            "test_conf.test_secrets_that_are_none",
            "test_tokens.test_hostile_strings",
        ),
    ),
    Weakness(
        "a public key as HMAC secret in another form: DER in base64 or hex, JWK, SSH, a part of it, its file's path",
        "CVE-2022-29217: its fix and similar ones detect PEM and SSH only",
        (
            "test_weak_secrets.test_a_key_as_der",
            "test_weak_secrets.test_a_key_of_ssh",
            "test_weak_secrets.test_a_jwk",
            "test_weak_secrets.test_other_formats",
            "test_weak_secrets.test_a_path",
            "test_weak_secrets.test_a_part_of_a_public_key_of_the_list",
            "test_keys.test_a_public_key_in_disguise_is_no_secret",
        ),
    ),
    Weakness("short secrets are accepted", "CVE-2025-45768 (PyJWT)", ("test_keys.test_bad_secrets",)),
    Weakness(
        "long secrets that are easy to guess are accepted: one character, a sequence, a repetition",
        "CWE-521",
        ("test_weak_secrets.test_texts_without_variety",),
    ),
    Weakness(
        "an unknown crit header is ignored",
        "CVE-2026-32597 (PyJWT), CVE-2025-59420 (Authlib)",
        ("test_tokens.test_bad_headers", "conformance.test_tokens.test_forged_tokens"),
    ),
    Weakness("b64 false is used before it is checked", "CVE-2026-48525 (PyJWT)", ("test_tokens.test_bad_headers",)),
    Weakness(
        "kid is used as a path, in SQL, or to fetch keys",
        "CVE-2026-48524 (PyJWT)",
        ("test_tokens.test_bad_headers", "proof.test_hostile.test_a_key_that_the_token_names"),
    ),
    Weakness(
        "with expired keys a service refuses every token while the key server hangs, one request after the other",
        "PyJWT's PyJWKClient",
        ("test_remote.test_old_keys_on_a_bad_day", "test_remote.test_a_key_that_somebody_made_up"),
    ),
    Weakness(
        "made-up kids make a service ask the key server at each request",
        "PyJWT's PyJWKClient before 2.15; CWE-406",
        ("test_remote.test_a_key_that_somebody_made_up", "test_remote.test_tokens_that_name_no_unknown_key"),
    ),
    Weakness(
        "the key server's answer is followed or read without a limit: a redirect, megabytes, a byte a second",
        "CWE-400, CWE-601",
        ("test_fetching.test_a_bad_answer", "test_remote.test_old_keys_on_a_bad_day"),
    ),
    Weakness(
        "a published key is used although it is for encryption, a secret, too short, or slow to verify with",
        "RFC 7517 sections 4.2 and 4.3; CVE-2022-29217; CWE-770",
        ("test_jwks.test_an_entry_that_is_skipped",),
    ),
    Weakness(
        "a discovery document is made from the Host header, so that a cache serves an attacker's key server",
        "CWE-644",
        ("test_services.test_the_discovery_document",),
    ),
    Weakness(
        "a claim is text where a list is expected, and each of its letters counts; or it hides a user's method",
        "CWE-843",
        ("test_remote.test_permissions", "test_remote.test_claims_hide_no_method"),
    ),
    Weakness(
        "a key that the token contains or points to is trusted: jwk, jku, x5u, x5c",
        "CVE-2018-0114 (node-jose)",
        ("proof.test_hostile.test_a_key_that_the_token_names",),
    ),
    Weakness("the issuer is compared only in part", "CVE-2024-53861 (PyJWT)", ("test_tokens.test_another_issuer",)),
    Weakness(
        "one tenant's token works at another tenant, as the user with the same primary key",
        "django-tenants with any signed token; CWE-1270",
        (
            "conformance.test_tenants.test_an_access_token_of_another_tenant",
            "conformance.test_tenants.test_a_refresh_token_of_another_tenant",
            "test_throttling.test_each_tenant_has_its_own_count",
            "test_conf.test_a_path_that_leads_nowhere",
        ),
    ),
    Weakness(
        "an audience that is a list is compared wrongly", "RFC 7519 section 4.1.3", ("test_tokens.test_audiences",)
    ),
    Weakness(
        "a token of one kind is accepted as the other kind",
        "RFC 8725 section 3.11",
        ("test_tokens.test_the_two_jobs_have_a_typ_each",),
    ),
    Weakness(
        "several strings are accepted as the same token",
        "malleable signatures and padding",
        ("test_tokens.test_one_bit_flipped", "conformance.test_tokens.test_a_flipped_spare_bit"),
    ),
    Weakness(
        "duplicate names in JSON, which two readers interpret differently",
        "RFC 8725 section 2.6",
        ("proof.test_hostile.test_duplicate_names_in_a_token", "proof.test_hostile.test_duplicate_names_in_a_body"),
    ),
    Weakness(
        "numbers that cause an error: huge, NaN, Infinity, fractions, booleans, negative",
        "CVE-2020-10735 (Python)",
        (
            "test_tokens.test_bad_refresh_claims",
            "test_tokens.test_bad_claims",
            "test_claims.test_claims_that_json_can_t_hold",
            "proof.test_hostile.test_odd_numbers",
        ),
    ),
    Weakness(
        "text that causes an error: not ASCII, NUL, half of a surrogate pair",
        "DRF before 3.11",
        (
            "test_tokens.test_hostile_strings",
            "test_tokens.test_a_token_id_that_is_half_a_character",
            "proof.test_hostile.test_half_a_character",
        ),
    ),
    Weakness(
        "deep nesting and huge inputs that cause an error",
        "CVE-2026-48525 (PyJWT), CVE-2024-33664 (python-jose)",
        (
            "test_tokens.test_a_payload_that_is_no_json",
            "conformance.test_tokens.test_no_token_in_the_body",
            "conformance.test_tokens.test_a_body_beyond_the_limit",
            "proof.test_hostile.test_an_oversized_cookie",
        ),
    ),
    # The token family.
    Weakness(
        "tokens of inactive and deleted users still work",
        "CVE-2024-22513 (simplejwt), CVE-2025-65430 (allauth)",
        (
            "conformance.test_user.test_a_deactivated_user",
            "conformance.test_user.test_a_deleted_user",
            "test_families.test_start",
        ),
    ),
    Weakness(
        "a changed password that revokes nothing",
        "OWASP ASVS 3.3.3",
        ("conformance.test_user.test_a_changed_password",),
    ),
    Weakness(
        "after reuse, the successor of the replayed token still works",
        "RFC 9700 section 4.14.2",
        ("conformance.test_rotation.test_reuse", "conformance.test_rotation.test_an_old_token"),
    ),
    Weakness(
        "a grace that disables reuse detection",
        "django-oauth-toolkit issues 1617, 1687",
        (
            "conformance.test_rotation.test_a_thief_who_poses_as_a_browser",
            "conformance.test_rotation.test_browser_reuse",
        ),
    ),
    Weakness(
        "a thief poses as a browser and so gets a browser's grace",
        "an experiment with our own first rule: thief and owner both stayed in 2,879 of 2,879 rounds",
        (
            "conformance.test_rotation.test_a_thief_who_is_faster_each_time",
            "proof.test_model.test_every_promise_holds",
            "proof.test_model.test_a_broken_rule_is_seen",
            "proof.test_stateful.test_the_service_does_as_designed",
        ),
    ),
    Weakness(
        "a retry from another device leaves no trace",
        "an experiment with our own first rule: 50 access tokens within a browser's grace, and no event",
        (
            "conformance.test_rotation.test_a_retry_from_another_device",
            "test_events.test_a_retry_from_elsewhere_is_on_the_timeline",
            "proof.test_stateful.test_the_service_does_as_designed",
        ),
    ),
    Weakness(
        "a race gives one token two successors, or loses a logout",
        "measured in four packages",
        ("proof.test_races.test_one_token_and_one_key", "proof.test_races.test_logouts_race_refreshes"),
    ),
    Weakness(
        "a race exceeds the session limit",
        "django-rest-knox issue 391",
        ("proof.test_races.test_logins_race_the_limit",),
    ),
    Weakness(
        "the refresh secret alone is enough to forge a token",
        "packages that only sign their tokens",
        ("conformance.test_tokens.test_a_token_made_with_the_secret_alone",),
    ),
    # Bound to a device.
    Weakness(
        "a copied refresh token works on another device",
        "malware that copies cookie jars and token files: every bearer token",
        (
            "conformance.test_bound.test_a_bound_family",
            "test_proofs.test_a_copied_token_is_worth_nothing",
            "proof.test_races.test_copies_race_their_owner",
            "proof.test_model.test_every_promise_holds",
        ),
    ),
    Weakness(
        "a copied token of a bound family signs its owner out: reuse is judged before the device is",
        "an experiment with our own first model of bound families",
        (
            "test_rule.test_another_device",
            "conformance.test_bound.test_a_bound_family",
            "proof.test_model.test_a_broken_rule_is_seen",
        ),
    ),
    Weakness(
        "a thief binds a family to a key of his own, and its owner is refused",
        "binding at a refresh, as RFC 9449 section 5 allows for new tokens",
        (
            "test_families.test_a_proof_binds_nothing_later",
            "test_rule.test_a_proof_does_nothing_for_a_family_that_is_not_bound",
            "proof.test_model.test_a_broken_rule_is_seen",
        ),
    ),
    Weakness(
        "a hostile proof header causes an error",
        "CWE-20",
        ("proof.test_hostile.test_hostile_proofs", "proof.test_fuzz.test_fuzz"),
    ),
    # The login.
    Weakness(
        "the response time or text tells who has an account",
        "CVE-2024-39329 (Django)",
        ("conformance.test_login.test_failed_logins_are_alike", "proof.test_hostile.test_an_unusable_password"),
    ),
    Weakness("huge passwords are hashed", "CVE-2013-1443 (Django)", ("proof.test_hostile.test_a_long_password",)),
    Weakness(
        "authentication back ends are bypassed: second factors, lockouts",
        "CVE-2024-21543 (djoser)",
        ("proof.test_hostile.test_a_back_end_that_says_no",),
    ),
    Weakness(
        "X-Forwarded-For is trusted, so the throttle can be avoided",
        "allauth 65.14.2",
        (
            "test_throttling.test_logins_count_by_address_and_name",
            "test_clients.test_a_forwarded_address_is_believed_as_far_as_set",
        ),
    ),
    Weakness(
        "concurrent tries that a throttle counts as one",
        "DRF's own throttles, measured: 41 of 64 pass at ten a minute on Redis, all on a database's cache",
        (
            "proof.test_throttles.test_many_tries_at_once",
            "conformance.test_deliveries.test_guesses_at_once",
        ),
    ),
    Weakness(
        "another spelling of a name gives more tries",
        "measured: MariaDB finds one user by 16 spellings",
        (
            "test_usernames.test_what_the_database_takes_for_one_name",
            "proof.test_throttles.test_spellings_in_mariadb",
            "proof.test_throttles.test_spellings_in_postgresql",
        ),
    ),
    Weakness(
        "a count that tells who has an account",
        "a throttle that looks the user up",
        ("test_usernames.test_the_user_table_is_not_read",),
    ),
    Weakness(
        "another address of the client's own network gives more tries",
        "IPv6: every client has 2^64 of them",
        ("test_throttling.test_what_one_client_has_to_itself",),
    ),
    Weakness(
        "a login to another account resets the throttle",
        "allauth",
        ("test_throttling.test_another_account_s_success_does_not_reset",),
    ),
    Weakness(
        "a name that takes seconds to normalize",
        "CVE-2023-46695 (Django)",
        ("test_usernames.test_a_name_of_a_serializer_without_a_limit",),
    ),
    # Proofs of DPoP.
    Weakness(
        "a proof is accepted twice: on another process, or because the check and the mark are two steps",
        "spring-security 18120; pydpop 0.2.1",
        (
            "test_proofs.test_a_proof_is_good_once",
            "test_proofs.test_requests_at_once",
            "test_proofs.test_a_cache_that_does_not_work",
            "proof.test_throttles.test_one_proof_many_times_at_once",
        ),
    ),
    Weakness(
        "a bound token is accepted as a bearer token, and so is one whose binding is not understood",
        "RFC 9449 section 7.2",
        (
            "test_proofs.test_the_schemes_can_t_be_swapped",
            "test_proofs.test_a_confirmation_by_other_means",
            "test_proofs.test_families_that_are_bound_when_proofs_are_switched_off",
        ),
    ),
    Weakness(
        "a proof for another request is accepted: of another method, address or token, or without a time",
        "RFC 9449 section 11",
        (
            "test_dpop.test_bad_claims",
            "test_dpop.test_addresses",
            "test_dpop.test_the_access_token_of_a_proof",
            "test_proofs.test_a_bound_access_token",
        ),
    ),
    Weakness(
        "a proof signed by a key that everybody has, is symmetric, or is not on the curve; none, or another algorithm",
        "RFC 9449 section 4.3; CVE-2015-7940",
        ("test_dpop.test_bad_headers", "test_dpop.test_what_is_no_signed_jwt", "proof.test_fuzz.test_fuzz"),
    ),
    Weakness(
        "two DPoP headers: one part of the server checks the first, another the last",
        "RFC 9449 section 4.3",
        ("test_dpop.test_what_is_no_signed_jwt", "test_proofs.test_a_bad_proof_at_a_login"),
    ),
    Weakness(
        "a thief with a copied token uses up the owner's share of a throttle",
        "CWE-770",
        ("test_proofs.test_a_thief_can_t_use_up_the_owner_s_share", "test_dbsc.test_those_who_wait_are_counted"),
    ),
    Weakness(
        "a proof that a script in the page signed ahead is good for days",
        "RFC 9449 section 11.2",
        (
            "test_dpop.test_nonces",
            "test_proofs.test_nonces",
            "test_dpop.test_a_minute_both_ways",
            "proof.test_model.test_a_broken_rule_is_seen",
        ),
    ),
    # Device Bound Session Credentials.
    Weakness(
        "a thief registers a key of his own for a copied cookie, and the owner is locked out",
        "W3C draft Device Bound Session Credentials, section 2",
        (
            "test_dbsc.test_a_thief_can_t_bind_a_copied_cookie",
            "test_dbsc.test_a_second_registration",
            "test_dbsc.test_two_registrations_at_once",
            "test_binding.test_what_can_t_be_bound",
        ),
    ),
    Weakness(
        "a copied device cookie works for ever, for another session, or makes the thief look like a retry",
        "its theft is the one that binding leaves possible",
        (
            "test_dbsc.test_a_copied_jar_is_refused_when_its_device_cookie_is_over",
            "test_dbsc.test_the_cookie_of_another_family",
            "test_dbsc.test_a_live_device_cookie_that_is_copied_too_is_found_out",
        ),
    ),
    Weakness(
        "a signed challenge is good for ever, or for another session; a late one signs the owner out",
        "W3C draft Device Bound Session Credentials, section 5; report-uri/dbsc-php",
        ("test_dbsc.test_old_challenges", "test_dbsc.test_a_challenge_of_something_else"),
    ),
    # The step-up.
    Weakness(
        "a refresh makes an old login look recent, or a step-up does so for a thief's copy of the refresh token",
        "an auth_time that is kept with the session; WorkOS moves it on active authentication only",
        (
            "conformance.test_step_up.test_step_up",
            "conformance.test_step_up.test_a_refresh_after_a_step_up",
            "test_pairs.test_the_proof_of_a_login",
        ),
    ),
    Weakness(
        "a stolen access token gives guesses at the password that nobody counts",
        "CWE-307",
        (
            "conformance.test_step_up.test_a_thief_who_guesses_the_password",
            "conformance.test_step_up.test_what_is_not_counted",
        ),
    ),
    Weakness(
        "a step-up with somebody else's password, or for a user or a session that is no longer active",
        "CWE-287",
        (
            "conformance.test_step_up.test_somebody_else_s_password",
            "conformance.test_step_up.test_a_back_end_that_finds_somebody_else",
            "conformance.test_step_up.test_a_user_or_a_family_that_is_no_more",
            "conformance.test_step_up.test_a_family_that_ends_meanwhile",
        ),
    ),
    Weakness(
        "a step-up without the device that the session is bound to",
        "RFC 9449 section 7",
        (
            "conformance.test_step_up.test_a_bound_family",
            "conformance.test_step_up.test_a_bound_family_whose_access_tokens_are_not",
        ),
    ),
    Weakness(
        "a time of login that is no number, or lies in the future, counts as recent",
        "RFC 9470 section 6",
        ("test_permissions.test_claims_that_are_no_time", "test_permissions.test_clocks_that_differ"),
    ),
    # The browser.
    Weakness(
        "another site can trigger refresh, login and logout",
        "dj-rest-auth, CVE-2025-68481 (fastapi-users)",
        (
            "conformance.test_origins.test_cross_origin",
            "test_origins.test_the_table",
            "proof.test_hostile.test_login_by_a_foreign_form",
        ),
    ),
    Weakness(
        "an origin that only looks like the site's own is accepted",
        "null, case, dots, ports, lists, IPv6, punycode",
        (
            "test_origins.test_our_own_origin_is_scheme_host_and_port",
            "test_origins.test_trusted_origins",
            "proof.test_hostile.test_origins_that_are_not_ours",
            "proof.test_hostile.test_origins_that_are_ours",
        ),
    ),
    Weakness(
        "the origin is compared with a Host that the sender chose",
        "DNS rebinding, X-Forwarded-Host",
        (
            "test_origins.test_a_host_that_is_not_allowed_is_not_ours",
            "proof.test_hostile.test_forwarded_headers_make_no_origin_ours",
        ),
    ),
    Weakness(
        "cookie tossing: a sibling subdomain adds or replaces the token, or locks the user out with an invalid cookie",
        "RFC 6265 section 8.6; in a browser: tests/browser/test_siblings.py",
        (
            "conformance.test_deliveries.test_two_cookies",
            "conformance.test_deliveries.test_tossed_cookies",
            "test_cookies.test_without_its_companion_no_token_counts",
            "proof.test_wire.test_two_cookie_headers",
        ),
    ),
    Weakness(
        "a cookie name that equals ours only after stripping, and so bypasses the __Host- prefix",
        "Django's parse_cookie, CVE-2022-2860 (Chromium)",
        (
            "conformance.test_deliveries.test_a_name_with_other_blanks",
            "test_cookies.test_every_value_of_a_name_is_seen",
        ),
    ),
    Weakness(
        "the URL can inject a cookie attribute",
        "CWE-113",
        ("test_cookies.test_the_path_is_percent_encoded", "test_checks.test_each_mistake_has_its_id"),
    ),
    Weakness(
        "a stale cookie or header blocks login and logout",
        "dj-rest-auth issues 150, 515, 593",
        (
            "conformance.test_deliveries.test_a_stale_authorization_header",
            "conformance.test_logout.test_logout_with_anything",
            "conformance.test_input.test_login_with_another_cookie",
        ),
    ),
    Weakness(
        "pages of the browsable API show tokens",
        "CVE-2024-21520 (DRF)",
        ("conformance.test_input.test_an_accept_that_can_t_be_met",),
    ),
    # A script as client.
    Weakness(
        "a client sends its token to another origin: after a redirect, or by a URL that looks like the API's",
        "CVE-2018-18074 and CVE-2023-32681 (requests)",
        (
            "test_token_auth.test_another_origin",
            "test_token_auth.test_a_redirect_to_another_origin",
            "test_token_auth.test_a_login_that_is_redirected",
            "test_scripts.test_where_the_token_goes",
            "test_scripts.test_a_store_of_another_session",
        ),
    ),
    Weakness(
        "others can read the file with the tokens, or put one of their own in its place",
        "CWE-732, CWE-59",
        (
            "test_stores.test_a_file_for_its_user_alone",
            "test_stores.test_a_file_that_others_can_use",
            "test_stores.test_a_file_of_somebody_else",
            "test_stores.test_a_link_and_a_folder",
        ),
    ),
    Weakness(
        "a client that refreshes twice at once, or forgets a lost answer, ends its own session",
        "RFC 9700 section 4.14.2, common in clients",
        (
            "test_token_auth.test_ten_refused_requests_at_once",
            "test_scripts.test_a_key_without_an_answer_is_used_again",
            "test_stores.test_a_fork",
            "proof.test_scripts.test_scripts_that_are_killed",
        ),
    ),
    # The request.
    Weakness(
        "an access token is accepted in the query string or a form",
        "RFC 6750 sections 2.2, 2.3",
        ("proof.test_hostile.test_a_token_in_the_address", "conformance.test_input.test_an_access_token_in_a_form"),
    ),
    Weakness("a header can change the method", "X-HTTP-Method-Override", ("proof.test_hostile.test_method_overrides",)),
    Weakness(
        "line breaks can be injected into responses and logs",
        "CWE-93, CWE-117",
        ("proof.test_hostile.test_line_breaks",),
    ),
    Weakness(
        "ambiguous requests: a header twice, header names with underscores, two lengths",
        "CWE-444, CVE-2015-0219 (Django)",
        ("proof.test_hostile.test_headers_that_a_server_may_join", "proof.test_wire.test_requests_that_are_ambiguous"),
    ),
    Weakness(
        "logs and error reports contain secrets",
        "CWE-532",
        (
            "test_signals.test_nothing_secret_is_logged",
            "conformance.test_deliveries.test_error_reports",
            "test_view_base.test_no_password_in_an_error_report",
        ),
    ),
    Weakness(
        "a logout reports success but revokes nothing",
        "CWE-613",
        (
            "conformance.test_logout.test_logout_with_a_body_that_holds_no_token",
            "conformance.test_logout.test_logout_with_a_line_s_end",
            "conformance.test_logout.test_logout_by_the_access_token",
            "conformance.test_logout.test_logout_without_a_single_token",
            "conformance.test_logout.test_forms_at_a_body_mount",
        ),
    ),
    Weakness(
        "forms that cause an error: unusable encodings, endless fields and files, malformed parts",
        "CVE-2023-24580, CVE-2023-23969 (Django)",
        ("conformance.test_logout.test_hostile_forms", "conformance.test_logout.test_forms_at_a_cookie_mount"),
    ),
    # Staff, and users who are deactivated.
    Weakness(
        "a permission is checked without the object, so an override only hides the button",
        "CWE-863",
        (
            "test_revoking.test_a_protected_user",
            "test_revoking.test_no_button_for_a_protected_user",
            "test_revoking.test_protected_users_are_left_out_of_a_selection",
        ),
    ),
    Weakness(
        "a URL reaches objects outside the list's queryset",
        "CWE-639",
        ("test_revoking.test_hidden_families_are_not_found",),
    ),
    Weakness(
        "a page for one permission shows what requires another permission",
        "CWE-200, CVE-2018-16984 (Django)",
        (
            "test_revoking.test_who_may_not_view_reads_nothing",
            "test_revoking.test_a_confirmation_lists_what_may_be_viewed",
        ),
    ),
    Weakness(
        "a lookup in the URL reads a column letter by letter",
        "CVE-2010-4534 (Django)",
        ("test_changelist.test_lookups_that_no_page_links_to", "test_changelist.test_a_project_s_own_filters"),
    ),
    Weakness(
        "numbers and dates that only the database refuses cause an error",
        "CWE-20",
        (
            "test_changelist.test_odd_values",
            "test_changelist.test_a_user_of_an_odd_key",
            "test_changelist.test_odd_terms",
            "test_sessions.test_a_page_of_an_odd_number",
            "test_sessions.test_a_cursor_of_an_odd_position",
        ),
    ),
    Weakness(
        "after a user is deactivated and activated again, the session goes on",
        "CWE-613",
        (
            "conformance.test_user.test_a_user_saved_as_inactive",
            "test_receivers.test_a_deactivated_user_s_families_are_revoked",
            "test_proxies.test_a_member_is_saved",
        ),
    ),
    Weakness(
        "one session shows the exact times of another",
        "CWE-208",
        ("test_sessions.test_other_sessions_in_steps_of_ten_minutes",),
    ),
    Weakness(
        "a list of revoked tokens that can't be read counts as empty",
        "OCSP in browsers (soft-fail), deny lists in a cache that is down; CWE-636",
        (
            "test_revoked.test_without_a_first_list",
            "test_revoked.test_a_failing_query",
            "test_revoked.test_a_failing_query_in_a_transaction",
            "test_revocations.test_the_first_list_is_missing",
            "test_revocations.test_a_server_that_goes_down",
            "test_revocations.test_a_document_that_is_none",
            "test_revocations_view.test_a_database_that_is_down",
        ),
    ),
    Weakness(
        "a process that was idle, or has just started, lets in what was revoked meanwhile",
        "CWE-613",
        (
            "test_revoked.test_an_idle_process",
            "test_revoked.test_what_was_revoked_before_the_process_started",
            "test_polling.test_one_request_fetches_and_the_others_use_the_old_value",
            "proof.test_revoked.test_everywhere_within_the_interval",
        ),
    ),
    Weakness(
        "a revocation that is committed late, or by a server whose clock is slow, never gets into a list",
        "CWE-362",
        ("test_revoked.test_late_commits_and_clocks_that_differ", "test_revocations_view.test_since"),
    ),
    Weakness(
        "one tenant's list of revoked tokens is used for another",
        "CWE-668",
        ("test_revoked.test_each_database_and_each_tenant_has_its_own_list",),
    ),
    Weakness(
        "a list of revoked tokens shows the ids of sessions",
        "CWE-200",
        ("test_revocations_view.test_the_list", "test_revocations_view.test_a_digest"),
    ),
    Weakness(
        "half of a configuration looks as if revocations counted",
        "CWE-1188",
        ("test_revocations.test_settings_of_the_class",),
    ),
]
