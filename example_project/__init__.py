"""A project that uses twotoken: both deliveries, a route, the admin, and a page to look at."""
