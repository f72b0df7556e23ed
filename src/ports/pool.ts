/** The place that images are kept in. Sizes in bytes; undefined where nothing accounts for them. */
export interface Pool {
  readonly path: string;
  usage(): bigint | undefined;
  limit(): bigint | undefined;
}
