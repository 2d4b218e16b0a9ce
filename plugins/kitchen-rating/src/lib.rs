//! `kitchen:rating`: the food safety of a kitchen, with reasons.

mod calendar;
mod rate;
mod sensors;

wares_sdk::component!(Component);

use exports::kitchen::safety::rating::{Date, Event, Grade, Guest, Inspection, Kitchen, Rating, RatingError};

struct Component;

impl Guest for Component {
    fn rate(
        kitchen: Kitchen,
        inspections: Vec<Inspection>,
        events: Vec<Event>,
        on: Date,
    ) -> Result<Rating, RatingError> {
        rate::rate(&kitchen, &inspections, &events, on)
    }

    fn scale() -> Vec<(Grade, u8)> {
        rate::SCALE.to_vec()
    }
}
