"""An example project that uses twotoken: both deliveries, API routes, the admin, and a demo page."""
