/** What plugins register, for the compiler and the editor. Written by `quarry types`; do not edit. */
import "quarry";

declare module "quarry" {
  interface LossOptions {
    /** Cross-entropy between a query's graded labels and its scores over all passages. (graded_contrastive.py) */
    graded_contrastive: {
      /** Divides the similarities. @defaultValue 0.05 */
      temperature?: number | undefined;
    };
  }
  interface EncoderOptions {
    /** Queries as "Instruct: …, Query: …", passages as they are. (instructed.py) */
    instructed: {
      /** For queries whose record has no instruction of its own. @defaultValue "Find the passage that answers the question." */
      instruction?: string | undefined;
    };
  }
  interface RetrieverOptions {
    /** Pushes each query's hardest negative in the batch below its positive by a margin. (hardest_margin.py) */
    hardest_margin: {
      /** How far apart scores should be. @defaultValue 0.2 */
      margin?: number | undefined;
    };
  }
}
