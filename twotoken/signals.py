"""Signals. All are sent with ``send_robust`` and ``sender=RefreshToken``, after the change is written.

A receiver that raises is logged by Django and stops nothing. No signal carries a token or a key.

``family_started``: ``family_id``, ``user_id``, ``ip_address``, ``user_agent``. A login opened a token family.

``token_rotated``: ``family_id``, ``user_id``, ``generation``, ``ip_address``, ``user_agent``. A refresh token was
replaced; ``generation`` is the new one's. Not sent for a retry, which writes nothing.

``token_retried``: ``family_id``, ``user_id``, ``generation`` (of the token presented), ``current_generation``,
``ip_address``, ``user_agent``. A refresh was retried from another address or user agent than that of the rotation.

``family_revoked``: ``family_id``, ``user_id``, ``reason``. Sent once.

``reuse_detected``: ``family_id``, ``user_id``, ``generation`` (of the token that came back), ``current_generation``,
``ip_address``, ``user_agent`` (of who presented it). Sent once per family, after its ``family_revoked``.
"""

from __future__ import annotations

from django.dispatch import Signal

family_started: Signal = Signal()
token_rotated: Signal = Signal()
token_retried: Signal = Signal()
family_revoked: Signal = Signal()
reuse_detected: Signal = Signal()
