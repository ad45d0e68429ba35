// Each recipe as a function that asks the API who is there.
import axios from "axios";
import { createAuthRefresh } from "axios-auth-refresh";
import { api as axiosApi } from "./axios";
import { api as axiosAuthRefreshApi } from "./axios-auth-refresh";
import { client } from "./client";
import { api as kyApi } from "./ky";
import { api as openapiApi } from "./openapi-fetch";
import { get, queryClient, useMe } from "./tanstack-query";

// What the page warns of: the same, with the default of axios-auth-refresh.
const warned = axios.create();
warned.interceptors.request.use(async (config) => {
  config.headers.setAuthorization(`Bearer ${await client.accessToken()}`);
  return config;
});
createAuthRefresh(warned, () => client.restore({ force: true }));

const url = "/api/me/";
const recipes: Record<string, (number: number) => Promise<{ id: string } | undefined>> = {
  axios: async () => (await axiosApi.get(url)).data,
  "axios-auth-refresh": async () => (await axiosAuthRefreshApi.get(url)).data,
  warned: async () => (await warned.get(url)).data,
  ky: () => kyApi.get(url).json(),
  "openapi-fetch": async () => (await openapiApi.GET(url)).data,
  "tanstack-query": (number) => queryClient.fetchQuery({ queryKey: ["me", number], queryFn: () => get(url) }),
};
const askAll = (name: string) =>
  Promise.all(Array.from({ length: 20 }, (_, number) => recipes[name](number).then((me) => me?.id, (error) => String(error))));
const cached = () => queryClient.getQueryCache().getAll().length;
Object.assign(window, { askAll, cached, client, useMe });
