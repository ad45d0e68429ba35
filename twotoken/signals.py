"""twotoken's signals. All are sent with ``send_robust``. Signals about a family have ``sender=RefreshToken``.

A signal is sent after the change is written. If a receiver raises, Django logs the error and the request goes on. No
signal carries a token or a key.

``family_started``: ``family_id``, ``user_id``, ``ip_address``, ``user_agent``. A login started a token family.

``token_rotated``: ``family_id``, ``user_id``, ``generation``, ``ip_address``, ``user_agent``. A refresh token was
replaced; ``generation`` is that of the new token. This signal is not sent for a retry, which writes nothing.

``token_retried``: ``family_id``, ``user_id``, ``generation`` (of the request's token), ``current_generation``,
``ip_address``, ``user_agent``. A refresh was retried, and the retry has another IP address or user agent than the
first request. This signal is not sent for other retries.

``wrong_device_refused``: ``family_id``, ``user_id``, ``generation`` (of the request's token), ``current_generation``,
``ip_address``, ``user_agent``. A refresh token of a bound family was sent without a proof by the device's key. This
signal is sent for each such request. Nothing is revoked.

``family_revoked``: ``family_id``, ``user_id``, ``reason``. A token family was revoked. This signal is sent once per
family.

``reuse_detected``: ``family_id``, ``user_id``, ``generation`` (of the reused token), ``current_generation``,
``ip_address``, ``user_agent`` (of the request with the reused token). A refresh token was reused, and its family was
revoked. This signal is sent once per family, after ``family_revoked``.

``request_refused``: ``status``, ``code``, ``reason``. An endpoint answered with this status, which is 400 or more.
``code`` and ``reason`` are those of the answer, or empty. ``sender`` is the class of the view. This signal is sent for
each such answer.
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
