import { createClient } from "twotoken";

export const client = createClient({ authUrl: "/api/auth/" });
client.restore().catch(console.error); // rejects if the server can't be reached
