//! The plots of a page, as SVG that stands in it.
//!
//! Colours are the fixed ones below; the page's style sheet maps them to the reader's light or dark scheme. No plot tells
//! its lines apart by colour alone: they differ in weight, dashes or marks.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::words::{cut, millis, whole};
use crate::scorecard::{Figures, GroupFigure, LatencySlice};

/// The width of every plot; the page scales it.
const WIDTH: u32 = 900;
/// The height of a plot whose height does not depend on its rows.
const HEIGHT: u32 = 300;
const INK: RGBColor = RGBColor(29, 36, 48);
const SOFT: RGBColor = RGBColor(91, 102, 117);
const LINES: RGBColor = RGBColor(216, 221, 229);
const BLUE: RGBColor = RGBColor(31, 90, 160);
const ORANGE: RGBColor = RGBColor(196, 98, 16);
const RED: RGBColor = RGBColor(178, 34, 34);

/// The most signs of a label, which has a fixed space.
const LABEL: usize = 30;
/// The least latency on a logarithmic axis: below a hundredth of a millisecond nobody waits.
const LEAST_MS: f64 = 0.01;

/// Why a plot could not be drawn, which is a bug of ours.
pub(super) type Fault = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn svg(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<(), Fault>) -> Result<String, Fault> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    // The page scales by the view box: a fixed size would overflow narrow screens.
    Ok(text.replacen(&format!("width=\"{WIDTH}\" height=\"{height}\" "), "", 1))
}

fn small() -> TextStyle<'static> {
    ("sans-serif", 13).into_font().color(&SOFT)
}

fn log(ms: f64) -> f64 {
    libm::log10(ms.max(LEAST_MS))
}

/// Writes the label of a power of ten, and nothing between powers.
fn power(exponent: f64) -> String {
    if (exponent - exponent.round()).abs() > 0.01 {
        return String::new();
    }
    let number = libm::pow(10.0, exponent.round());
    if number < 1.0 {
        format!("{number}")
    } else {
        whole(number)
    }
}

/// Draws latency over time on a logarithmic scale: the median, the 95th percentile, the largest, and the deadline.
///
/// Returns nothing when there is nothing to draw.
pub(super) fn latency(figures: &Figures) -> Result<Option<String>, Fault> {
    let slices = &figures.latency_over_time;
    let (Some(first), Some(last)) = (slices.first(), slices.last()) else {
        return Ok(None);
    };
    let width = slices
        .get(1)
        .map_or(1.0, |second| second.at_s - first.at_s)
        .max(0.001);
    let end = last.at_s + width;
    let least = slices.iter().map(|slice| slice.p50_ms).fold(f64::MAX, f64::min);
    let most = slices
        .iter()
        .map(|slice| slice.max_ms)
        .fold(figures.deadline_ms, f64::max);
    let bottom = log(least).floor();
    let top = (log(most) + 0.15).max(bottom + 1.0);
    let plot = svg(HEIGHT, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(64)
            .build_cartesian_2d(first.at_s..end, bottom..top)?;
        for (place, phase) in figures.phases.iter().enumerate() {
            let (from, to) = (
                phase.from_s.clamp(first.at_s, end),
                phase.to_s.clamp(first.at_s, end),
            );
            if place % 2 == 1 {
                chart.draw_series([Rectangle::new(
                    [(from, bottom), (to, top)],
                    BLUE.mix(0.08).filled(),
                )])?;
            }
        }
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINES)
            .axis_style(SOFT)
            .label_style(small())
            .x_labels(12)
            .x_label_formatter(&|at| whole(*at))
            .y_labels(10)
            .y_label_formatter(&|at| power(*at))
            .x_desc("seconds since the first measured request")
            .y_desc("latency in ms")
            .axis_desc_style(small())
            .draw()?;
        let points = |value: fn(&LatencySlice) -> f64| {
            slices
                .iter()
                .map(move |slice| (slice.at_s + width / 2.0, log(value(slice))))
        };
        chart.draw_series(points(|slice| slice.max_ms).map(|at| Circle::new(at, 2, SOFT.filled())))?;
        chart.draw_series(LineSeries::new(
            points(|slice| slice.p95_ms),
            ORANGE.stroke_width(1),
        ))?;
        chart.draw_series(
            points(|slice| slice.p95_ms).map(|at| TriangleMarker::new(at, 4, ORANGE.filled())),
        )?;
        chart.draw_series(LineSeries::new(
            points(|slice| slice.p50_ms),
            BLUE.stroke_width(3),
        ))?;
        let deadline = log(figures.deadline_ms);
        chart.draw_series(DashedLineSeries::new(
            [(first.at_s, deadline), (end, deadline)],
            6,
            4,
            RED.stroke_width(2),
        ))?;
        for phase in &figures.phases {
            let from = phase.from_s.clamp(first.at_s, end);
            let at = chart.backend_coord(&(from, top));
            let style = small();
            chart.plotting_area().strip_coord_spec().draw(&Text::new(
                cut(&phase.name, LABEL),
                (at.0 + 6, at.1 + 4),
                style,
            ))?;
        }
        Ok(())
    })?;
    Ok(Some(plot))
}

/// Draws the distribution of latency; the bars of the histogram are of one width on a logarithmic scale.
pub(super) fn histogram(figures: &Figures) -> Result<Option<String>, Fault> {
    let filled = |place: Option<usize>| place.unwrap_or(0);
    let begin = filled(figures.latency_histogram.iter().position(|bin| bin.count > 0));
    let bins = &figures.latency_histogram[begin.min(figures.latency_histogram.len())..];
    let top = bins.iter().map(|bin| bin.count).max().unwrap_or(0) as f64 * 1.08;
    if top <= 0.0 {
        return Ok(None);
    }
    let count = bins.len() as f64;
    // Bars grow by a constant factor, so their number is a logarithmic scale of its own.
    let place_of = |ms: f64| {
        bins.iter()
            .position(|bin| bin.from <= ms && ms < bin.to)
            .map(|place| place as f64 + (ms - bins[place].from) / (bins[place].to - bins[place].from))
    };
    let label = |place: &f64| {
        let at = place.round();
        let edge = bins
            .get(at as usize)
            .map(|bin| bin.from)
            .or_else(|| bins.last().map(|bin| bin.to).filter(|_| at == count));
        edge.filter(|_| (place - at).abs() < 0.01)
            .map_or_else(String::new, millis)
    };
    let plot = svg(HEIGHT, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(38)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..count, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINES)
            .axis_style(SOFT)
            .label_style(small())
            .x_labels(bins.len().min(14))
            .x_label_formatter(&label)
            .y_labels(6)
            .y_label_formatter(&|at| whole(*at))
            .x_desc("latency in ms")
            .y_desc("requests")
            .axis_desc_style(small())
            .draw()?;
        chart.draw_series(bins.iter().enumerate().map(|(place, bin)| {
            let at = place as f64;
            Rectangle::new([(at + 0.04, 0.0), (at + 0.96, bin.count as f64)], BLUE.filled())
        }))?;
        if let Some(at) = place_of(figures.deadline_ms) {
            chart.draw_series(DashedLineSeries::new(
                [(at, 0.0), (at, top)],
                6,
                4,
                RED.stroke_width(2),
            ))?;
        }
        Ok(())
    })?;
    Ok(Some(plot))
}

/// Draws accuracy by group with intervals; groups that are too small have no value and are left to the words beside.
pub(super) fn groups(figures: &Figures) -> Result<Option<String>, Fault> {
    let shown: Vec<(&GroupFigure, f64)> = figures
        .accuracy_by_group
        .iter()
        .filter_map(|group| Some((group, group.value?)))
        .collect();
    if shown.is_empty() {
        return Ok(None);
    }
    let end = |group: &GroupFigure, value: f64, side: fn(crate::scorecard::Interval) -> f64| {
        group.interval.map_or(value, side)
    };
    let low = shown
        .iter()
        .map(|(group, value)| end(group, *value, |range| range.low))
        .fold(f64::MAX, f64::min);
    let high = shown
        .iter()
        .map(|(group, value)| end(group, *value, |range| range.high))
        .fold(f64::MIN, f64::max);
    let spare = ((high - low) * 0.06).max(0.005);
    // A line for each attribute as a heading, then its groups.
    let mut rows: Vec<(String, Option<(&GroupFigure, f64)>)> = Vec::new();
    let mut attribute = None;
    for (group, value) in &shown {
        if attribute != Some(&group.attribute) {
            attribute = Some(&group.attribute);
            rows.push((cut(&group.attribute, LABEL).to_uppercase(), None));
        }
        let label = format!("{} ({})", cut(&group.group, LABEL), whole(group.n as f64));
        rows.push((label, Some((group, *value))));
    }
    let count = rows.len() as f64;
    let plot = svg(70 + 24 * rows.len() as u32, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(38)
            .y_label_area_size(220)
            .build_cartesian_2d(low - spare..high + spare, -0.5..count - 0.5)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINES)
            .axis_style(SOFT)
            .label_style(small())
            .x_labels(10)
            .x_label_formatter(&|at| format!("{:.2}", at + 0.0))
            .y_labels(0)
            .x_desc(cut(&figures.accuracy_label, 2 * LABEL))
            .axis_desc_style(small())
            .draw()?;
        for (place, (label, figure)) in rows.iter().enumerate() {
            let y = count - 1.0 - place as f64;
            let at = chart.backend_coord(&(low - spare, y));
            let (style, left) = match figure {
                Some(_) => (("sans-serif", 13).into_font().color(&INK), 24),
                None => (("sans-serif", 11).into_font().color(&SOFT), 12),
            };
            area.draw(&Text::new(label.clone(), (left, at.1 - 6), style))?;
            let Some((group, value)) = figure else {
                continue;
            };
            let (from, to) = (
                end(group, *value, |range| range.low),
                end(group, *value, |range| range.high),
            );
            let bars = [
                [(from, y), (to, y)],
                [(from, y - 0.2), (from, y + 0.2)],
                [(to, y - 0.2), (to, y + 0.2)],
            ];
            for bar in bars {
                chart.draw_series(LineSeries::new(bar, BLUE.stroke_width(2)))?;
            }
            chart.draw_series([Circle::new((*value, y), 4, BLUE.filled())])?;
        }
        Ok(())
    })?;
    Ok(Some(plot))
}

/// Draws the share of all slots that each of the most exposed movies gets.
pub(super) fn exposure(figures: &Figures) -> Result<Option<String>, Fault> {
    let shares = &figures.exposure_curve;
    let top = shares.iter().copied().fold(0.0, f64::max) * 1.1;
    if top <= 0.0 {
        return Ok(None);
    }
    let count = shares.len() as f64;
    let plot = svg(240, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(38)
            .y_label_area_size(64)
            .build_cartesian_2d(0.5..count + 0.5, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINES)
            .axis_style(SOFT)
            .label_style(small())
            .x_labels(shares.len().min(20))
            .x_label_formatter(&|at| {
                if (at - at.round()).abs() < 0.01 {
                    whole(*at)
                } else {
                    String::new()
                }
            })
            .y_labels(5)
            .y_label_formatter(&|at| format!("{:.1} %", at * 100.0))
            .x_desc("rank of the movie, the most recommended first")
            .y_desc("share of all slots")
            .axis_desc_style(small())
            .draw()?;
        chart.draw_series(shares.iter().enumerate().map(|(place, share)| {
            let at = place as f64 + 1.0;
            Rectangle::new([(at - 0.4, 0.0), (at + 0.4, *share)], BLUE.filled())
        }))?;
        Ok(())
    })?;
    Ok(Some(plot))
}
