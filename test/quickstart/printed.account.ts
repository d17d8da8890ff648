/** What tests read of the document that `--json` prints. */
export interface PrintedAccount {
  readonly ok: boolean;
  readonly provider: string;
  readonly tookMs: number;
  readonly chapters: readonly { readonly name: string }[];
  readonly steps: readonly { readonly ok: boolean }[];
}
