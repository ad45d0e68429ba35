"""Device Bound Session Credentials (a W3C draft): experimental. Mount ``twotoken.contrib.dbsc.urls``."""
