/** The channels of the run. */
export const CHANNELS = ['orders', 'payments'] as const;
export type ChannelName = (typeof CHANNELS)[number];
