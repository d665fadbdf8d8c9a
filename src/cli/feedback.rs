//! The part of `world truth` that tells what services have done to their viewers, by twins.

use serde_json::{Value, json};

use super::args::WorldTruth;
use super::exit::Exit;
use super::simulate::available;
use super::ui::{Failure, Stop, Ui};
use crate::course::Course;
use crate::scorecard::Interval;
use crate::twin::{Figure, STAND_INS, Service, Truth, TwinSpec, compare, play_all};
use crate::world::{Feedback, Strength, World};

/// What services have done in a course's world.
pub(super) struct Effects {
    feedback: Feedback,
    spec: TwinSpec,
    services: Vec<Truth>,
}

/// Plays the twins of a course.
pub(super) fn effects(course: &Course, args: &WorldTruth, ui: &Ui, stop: &Stop) -> Result<Effects, Failure> {
    let threads = available();
    let world = World::new(&course.key, course.world, threads).with_habits(course.habits.clone());
    let spec = TwinSpec {
        users: args.viewers.min(course.world.users),
        ..TwinSpec::default()
    };
    let services: Vec<&dyn Service> = STAND_INS.iter().map(|service| service as &dyn Service).collect();
    ui.progress(format_args!(
        "playing {} twin companies of {} viewers for {} weeks",
        services.len() + 1,
        spec.users,
        spec.rounds * spec.round_days / 7
    ));
    let told = |service: &str, round: u32| {
        if round == 1 {
            ui.progress(format_args!("  {service}"));
        }
        !stop.is_set()
    };
    let (nobody, lives) =
        play_all(&world, &course.key, spec, &services, threads, &told).ok_or_else(|| Failure {
            exit: Exit::Interrupted,
            message: "interrupted while the twin companies were played; nothing was printed".to_owned(),
            hint: None,
        })?;
    ui.progress(format_args!("comparing them"));
    Ok(Effects {
        feedback: course.habits.feedback,
        spec,
        services: compare(&world, &course.key, spec, &nobody, &lives),
    })
}

impl Effects {
    pub(super) fn to_json(&self) -> Value {
        let settings: serde_json::Map<String, Value> = self
            .feedback
            .named()
            .into_iter()
            .map(|(name, strength)| (name.to_owned(), json!(strength.word())))
            .collect();
        json!({
            "settings": settings, "viewers": self.spec.users, "history_days": self.spec.history_days,
            "rounds": self.spec.rounds, "round_days": self.spec.round_days, "services": self.services,
        })
    }

    pub(super) fn to_text(&self) -> String {
        let settings: Vec<String> = self
            .feedback
            .named()
            .into_iter()
            .map(|(name, strength)| format!("{name} {}", strength.word()))
            .collect();
        let mut text = format!("feedback: {}\n", settings.join(", "));
        if self.feedback == Feedback::all(Strength::Off) {
            text += "  lists do nothing to viewers: every difference below is 0\n";
        }
        text += &format!(
            "  {} viewers; {} days without lists, then {} rounds of {} days, after each of which a service learns anew;\n  \
             figures of the second half of the rounds, with the service less without any, and the 95 % interval over viewers\n",
            self.spec.users, self.spec.history_days, self.spec.rounds, self.spec.round_days
        );
        for service in &self.services {
            text += &format!("  {}\n", service.service);
            for figure in &service.figures {
                text += &line(figure);
            }
        }
        text
    }
}

fn line(figure: &Figure) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let interval = |interval: Interval| format!(" [{:+.3}, {:+.3}]", interval.low, interval.high);
    let difference = figure
        .difference
        .map_or_else(|| "-".to_owned(), |value| format!("{value:+.3}"));
    format!(
        "    {:15}{:>7} -> {:>6}  {difference}{}  {}\n",
        figure.measure,
        number(figure.without),
        number(figure.with),
        figure.interval.map_or_else(String::new, interval),
        figure.what
    )
}
