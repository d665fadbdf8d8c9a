//! The plots of a page, as SVG that stands in it.

use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use crate::scorecard::Figures;

const SIZE: (u32, u32) = (860, 300);
const BLUE: RGBColor = RGBColor(31, 90, 160);
const ORANGE: RGBColor = RGBColor(196, 98, 16);
const GREY: RGBColor = RGBColor(150, 150, 150);
const RED: RGBColor = RGBColor(178, 34, 34);

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws into a string; a plot that can't be drawn is an empty one, the table beside it says the same.
fn svg(
    height: u32,
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Drawn,
) -> String {
    let mut text = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut text, (SIZE.0, height)).into_drawing_area();
        area.fill(&WHITE)
            .map_err(Into::into)
            .and_then(|()| draw(&area))
            .and_then(|()| Ok(area.present()?))
    };
    if drawn.is_ok() { text } else { String::new() }
}

/// Latency over time: the median, the 95th percentile and the deadline.
pub(super) fn latency(figures: &Figures) -> String {
    let slices = &figures.latency_over_time;
    let Some(last) = slices.last() else {
        return String::new();
    };
    let top = slices
        .iter()
        .map(|slice| slice.p95_ms)
        .fold(figures.deadline_ms, f64::max)
        * 1.1;
    svg(SIZE.1, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last.at_s + 1.0, 0.0..top)?;
        for phase in figures.phases.iter().filter(|phase| phase.name == "peak") {
            chart.draw_series([Rectangle::new(
                [(phase.from_s, 0.0), (phase.to_s, top)],
                BLUE.mix(0.08).filled(),
            )])?;
        }
        mesh(&mut chart, "seconds (shaded: the highest rate)", "latency in ms")?;
        let line = |value: fn(&crate::scorecard::LatencySlice) -> f64| {
            slices.iter().map(move |slice| (slice.at_s + 0.5, value(slice)))
        };
        chart
            .draw_series(LineSeries::new(
                line(|slice| slice.p95_ms),
                ORANGE.stroke_width(2),
            ))?
            .label("95 %")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], ORANGE.stroke_width(2)));
        chart
            .draw_series(LineSeries::new(line(|slice| slice.p50_ms), BLUE.stroke_width(2)))?
            .label("median")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLUE.stroke_width(2)));
        let deadline = [(0.0, figures.deadline_ms), (last.at_s + 1.0, figures.deadline_ms)];
        chart
            .draw_series(LineSeries::new(deadline, RED.stroke_width(1)))?
            .label("deadline")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], RED.stroke_width(1)));
        chart
            .configure_series_labels()
            .border_style(GREY)
            .background_style(WHITE)
            .draw()?;
        Ok(())
    })
}

/// The distribution of latency, with bars that grow by a third.
pub(super) fn histogram(figures: &Figures) -> String {
    let bins = &figures.latency_histogram;
    let top = bins.iter().map(|bin| bin.count).max().unwrap_or(0) as f64 * 1.1;
    if top <= 0.0 {
        return String::new();
    }
    let label = |place: &f64| {
        bins.get(*place as usize).map_or_else(String::new, |bin| {
            if bin.from < 10.0 {
                format!("{:.1}", bin.from)
            } else {
                format!("{:.0}", bin.from)
            }
        })
    };
    svg(SIZE.1, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..bins.len() as f64, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .x_labels(12)
            .x_label_formatter(&label)
            .x_desc("latency in ms, each bar a third wider")
            .y_desc("requests")
            .draw()?;
        chart.draw_series(bins.iter().enumerate().map(|(place, bin)| {
            let colour = if bin.from >= figures.deadline_ms {
                RED
            } else {
                BLUE
            };
            let at = place as f64;
            Rectangle::new([(at + 0.05, 0.0), (at + 0.95, bin.count as f64)], colour.filled())
        }))?;
        Ok(())
    })
}

/// Accuracy by group, with intervals; groups that are too small are not drawn.
pub(super) fn groups(figures: &Figures) -> String {
    let shown: Vec<_> = figures
        .accuracy_by_group
        .iter()
        .filter_map(|group| {
            Some((
                format!("{} ({})", group.group, group.n),
                group.value?,
                group.interval?,
            ))
        })
        .collect();
    if shown.is_empty() {
        return String::new();
    }
    let low = shown.iter().map(|(_, _, range)| range.low).fold(0.0, f64::min);
    let high = shown.iter().map(|(_, _, range)| range.high).fold(0.0, f64::max) * 1.05;
    let count = shown.len() as f64;
    let label = |place: &f64| {
        shown
            .get((count - 1.0 - place).round() as usize)
            .map_or_else(String::new, |group| group.0.clone())
    };
    svg(70 + 24 * shown.len() as u32, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(190)
            .build_cartesian_2d(low..high, -0.5..count - 0.5)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(WHITE)
            .y_labels(shown.len() * 2)
            .y_label_formatter(&|place| {
                if (place - place.round()).abs() < 0.01 {
                    label(place)
                } else {
                    String::new()
                }
            })
            .x_desc(figures.accuracy_label.as_str())
            .draw()?;
        for (place, (_, value, range)) in shown.iter().enumerate() {
            let y = count - 1.0 - place as f64;
            chart.draw_series(LineSeries::new(
                [(range.low, y), (range.high, y)],
                BLUE.stroke_width(2),
            ))?;
            chart.draw_series([Circle::new((*value, y), 4, BLUE.filled())])?;
        }
        Ok(())
    })
}

fn mesh<'a, DB, X, Y>(chart: &mut ChartContext<'a, DB, Cartesian2d<X, Y>>, x: &str, y: &str) -> Drawn
where
    DB: DrawingBackend + 'a,
    DB::ErrorType: 'static,
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GREY.mix(0.3))
        .x_desc(x)
        .y_desc(y)
        .draw()?;
    Ok(())
}
