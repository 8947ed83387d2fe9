export { InterestReader } from "./reader.js";
export type Interest = import("./decode.js").Interest;
export type ItemKnowledge = import("./decode.js").ItemKnowledge;
export type ModelCard = import("./decode.js").ModelCard;
export type Recommendation = import("./decode.js").Recommendation;
export type Window = import("./decode.js").Window;
export { LAYOUT_VERSION, LayoutError } from "./decode.js";
