//! Renders [`Flow`](weir_model::flow::Flow) records in the forms that people and tools know from Hubble: the JSON of a
//! `GetFlowsResponse`, the compact line of `hubble observe`, and its filters.

mod compact;
mod filter;
mod json;
mod names;

pub use self::{
    compact::{compact, wide},
    filter::{Filter, FlowProtocol},
    json::{response, to_json},
};
