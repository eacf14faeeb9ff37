/** Nanoseconds on a clock that never runs backwards. */
export const now = () => process.hrtime.bigint();
