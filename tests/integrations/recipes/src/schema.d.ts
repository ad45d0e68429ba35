// As openapi-typescript writes it.
export interface paths {
  "/api/me/": {
    get: { responses: { 200: { content: { "application/json": { id: string } } } } };
  };
}
