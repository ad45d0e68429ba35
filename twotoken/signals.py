"""Signals. All are sent with ``send_robust``. Those of a family have ``sender=RefreshToken``.

They are sent after the change is written. If a receiver raises, Django logs the error and the request goes on. No
signal carries a token or a key.

``family_started``: ``family_id``, ``user_id``, ``ip_address``, ``user_agent``. A login started a token family.

``token_rotated``: ``family_id``, ``user_id``, ``generation``, ``ip_address``, ``user_agent``. A refresh token was
replaced; ``generation`` is that of the new token. Not sent for a retry, which writes nothing.

``token_retried``: ``family_id``, ``user_id``, ``generation`` (of the request's token), ``current_generation``,
``ip_address``, ``user_agent``. A refresh was retried, and the retry has another address or user agent than the first
request. Not sent for other retries.

``wrong_device_refused``: ``family_id``, ``user_id``, ``generation`` (of the request's token), ``current_generation``,
``ip_address``, ``user_agent``. A refresh token of a bound family was sent without a proof of the device's key. Sent
each time. Nothing was revoked.

``family_revoked``: ``family_id``, ``user_id``, ``reason``. Sent once per family.

``reuse_detected``: ``family_id``, ``user_id``, ``generation`` (of the reused token), ``current_generation``,
``ip_address``, ``user_agent`` (of the request that reused it). Sent once per family, after its ``family_revoked``.

``request_refused``: ``status``, ``code``, ``reason``. An endpoint answered with this status, which is 400 or more.
``code`` and ``reason`` are those of the answer, or empty. ``sender`` is the class of the view. Sent each time.
"""

from __future__ import annotations

from django.dispatch import Signal

family_started: Signal = Signal()
token_rotated: Signal = Signal()
token_retried: Signal = Signal()
wrong_device_refused: Signal = Signal()
family_revoked: Signal = Signal()
reuse_detected: Signal = Signal()
request_refused: Signal = Signal()
