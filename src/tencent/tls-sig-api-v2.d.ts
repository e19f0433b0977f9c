/** The vendor's package has no types of its own. */
declare module 'tls-sig-api-v2' {
  export class Api {
    constructor(sdkAppId: number, secretKey: string);
    genUserSig(userId: string, expireSeconds: number): string;
  }
  const api: { readonly Api: typeof Api };
  export default api;
}
