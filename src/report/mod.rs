//! Pages made of scorecards: for a terminal, for programs, for a browser. Pure: no file, no clock, no world.

mod audience;
mod class;
mod html;
mod json;
mod junit;
mod plot;
mod standing;
mod terminal;
mod words;

pub use audience::for_audience;
pub use class::{class_csv, class_json};
pub use html::{PageError, class_html, html};
pub use json::json;
pub use junit::junit;
pub use terminal::{Style, class_table, terminal};
