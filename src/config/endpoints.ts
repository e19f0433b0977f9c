/** Origins of the vendor's REST API by the region an app lives in (vendor's page "REST API 简介"). */
export const regionOrigins = {
  cn: 'https://console.tim.qq.com',
  sg: 'https://adminapisgp.im.qcloud.com',
  kr: 'https://adminapikr.im.qcloud.com',
  jp: 'https://adminapijpn.im.qcloud.com',
  de: 'https://adminapiger.im.qcloud.com',
  us: 'https://adminapiusa.im.qcloud.com',
  id: 'https://adminapiidn.im.qcloud.com',
  in: 'https://adminapiind.im.qcloud.com',
} as const;

export type Region = keyof typeof regionOrigins;
