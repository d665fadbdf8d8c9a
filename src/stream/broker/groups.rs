//! Consumer groups: who is in which, who leads, and what each was assigned; decided here, waited for outside.

use std::collections::BTreeMap;

/// The most members of a group: a team has a handful.
const MAX_MEMBERS: usize = 100;
/// The most groups: forty teams with a dozen tries each.
const MAX_GROUPS: usize = 2_000;
/// The shortest and longest time that a member may be silent.
const SESSION_MS: std::ops::RangeInclusive<i32> = 1_000..=1_800_000;
/// How long the first member of a group waits for others, so that a class that starts together is assigned once.
const FIRST_JOIN_MS: i64 = 300;
/// How long a member that was given its name may take to come with it.
const PENDING_MS: i64 = 60_000;

/// The errors of the protocol that groups know.
pub(super) mod error {
    pub(in crate::stream::broker) const NONE: i16 = 0;
    pub(in crate::stream::broker) const ILLEGAL_GENERATION: i16 = 22;
    pub(in crate::stream::broker) const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
    pub(in crate::stream::broker) const INVALID_GROUP_ID: i16 = 24;
    pub(in crate::stream::broker) const UNKNOWN_MEMBER_ID: i16 = 25;
    pub(in crate::stream::broker) const INVALID_SESSION_TIMEOUT: i16 = 26;
    pub(in crate::stream::broker) const REBALANCE_IN_PROGRESS: i16 = 27;
    pub(in crate::stream::broker) const MEMBER_ID_REQUIRED: i16 = 79;
    pub(in crate::stream::broker) const GROUP_MAX_SIZE_REACHED: i16 = 81;
    pub(in crate::stream::broker) const FENCED_INSTANCE_ID: i16 = 82;
}

use error::{
    FENCED_INSTANCE_ID, GROUP_MAX_SIZE_REACHED, ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL,
    INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT, MEMBER_ID_REQUIRED, NONE, REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER_ID,
};

/// A member that wants to be in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Join {
    pub(super) group: String,
    pub(super) member: String,
    pub(super) instance: Option<String>,
    pub(super) client: String,
    pub(super) host: String,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) protocol_type: String,
    pub(super) protocols: Vec<(String, Vec<u8>)>,
    /// Whether the client understands that it is to come again with the name that it is given.
    pub(super) named_first: bool,
}

/// What a member that joined is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Joined {
    pub(super) error: i16,
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) leader: String,
    pub(super) member: String,
    /// Of everybody, for the leader alone.
    pub(super) members: Vec<(String, Option<String>, Vec<u8>)>,
}

impl Joined {
    fn refused(error: i16, member: &str) -> Self {
        Self {
            error,
            generation: -1,
            member: member.to_owned(),
            ..Self::default()
        }
    }
}

/// What a member that asks for its assignment is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Synced {
    pub(super) error: i16,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) assignment: Vec<u8>,
}

/// Who speaks for which generation of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaker<'r> {
    pub(super) group: &'r str,
    pub(super) member: &'r str,
    pub(super) instance: Option<&'r str>,
    pub(super) generation: i32,
}

/// An answer, or that it is not time for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<T> {
    Reply(T),
    Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Empty,
    /// Members join until this moment, or until all that were there have.
    Joining {
        since_ms: i64,
        until_ms: i64,
    },
    /// The leader is to say who gets what.
    Syncing {
        until_ms: i64,
    },
    Stable,
}

#[derive(Debug)]
struct Member {
    instance: Option<String>,
    client: String,
    host: String,
    session_timeout_ms: i64,
    rebalance_timeout_ms: i64,
    protocols: Vec<(String, Vec<u8>)>,
    assignment: Vec<u8>,
    seen_ms: i64,
    /// Waits for the end of the phase of joining.
    joining: bool,
}

#[derive(Debug)]
struct Group {
    phase: Phase,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    members: BTreeMap<String, Member>,
    /// Names that were given out and not yet used, and until when they hold.
    pending: BTreeMap<String, i64>,
}

/// All groups of a broker.
#[derive(Debug, Default)]
pub(super) struct Groups {
    all: BTreeMap<String, Group>,
    /// What makes the names of members unlike those of an earlier life of this broker.
    life: i64,
    named: u64,
}

/// A group as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) state: &'static str,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) members: Vec<DescribedMember>,
}

/// A member as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DescribedMember {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) client: String,
    pub(super) host: String,
    pub(super) metadata: Vec<u8>,
    pub(super) assignment: Vec<u8>,
}

impl Groups {
    pub(super) fn new(life: i64) -> Self {
        Self {
            life,
            ..Self::default()
        }
    }

    /// Takes a member into its group; it waits until everybody has come.
    ///
    /// Called again with the same request, `again` set, until there is a reply.
    pub(super) fn join(&mut self, join: &mut Join, again: bool, now_ms: i64) -> Step<Joined> {
        if !again && let Some(refused) = self.begin_join(join, now_ms) {
            return Step::Reply(refused);
        }
        let Some(group) = self.all.get_mut(&join.group) else {
            return Step::Reply(Joined::refused(UNKNOWN_MEMBER_ID, &join.member));
        };
        group.advance(now_ms);
        let Some(member) = group.members.get(&join.member) else {
            return Step::Reply(Joined::refused(UNKNOWN_MEMBER_ID, &join.member));
        };
        if member.joining {
            return Step::Wait;
        }
        Step::Reply(group.joined(&join.member))
    }

    /// Notes who joins, and returns why it can't, if so.
    fn begin_join(&mut self, join: &mut Join, now_ms: i64) -> Option<Joined> {
        let refused = |error| Some(Joined::refused(error, &join.member));
        if join.group.is_empty() {
            return refused(INVALID_GROUP_ID);
        }
        if !SESSION_MS.contains(&join.session_timeout_ms) {
            return refused(INVALID_SESSION_TIMEOUT);
        }
        if join.protocols.is_empty() {
            return refused(INCONSISTENT_GROUP_PROTOCOL);
        }
        if !self.all.contains_key(&join.group) && self.all.len() >= MAX_GROUPS {
            self.all.retain(|_, group| !group.members.is_empty());
            if self.all.len() >= MAX_GROUPS {
                return refused(GROUP_MAX_SIZE_REACHED);
            }
        }
        let group = self.all.entry(join.group.clone()).or_insert_with(Group::new);
        group.advance(now_ms);
        if !group.members.is_empty() && !group.speaks(join) {
            return refused(INCONSISTENT_GROUP_PROTOCOL);
        }
        let of_instance = join.instance.as_ref().and_then(|instance| {
            let held = |(_, member): &(&String, &Member)| member.instance.as_ref() == Some(instance);
            group.members.iter().find(held).map(|(id, _)| id.clone())
        });
        if join.member.is_empty() {
            let full = group.members.len() + group.pending.len() >= MAX_MEMBERS;
            if full && of_instance.is_none() {
                return refused(GROUP_MAX_SIZE_REACHED);
            }
            self.named += 1;
            let id = format!("{}-{:x}-{}", join.client, self.life, self.named);
            if join.named_first && join.instance.is_none() {
                group.pending.insert(id.clone(), now_ms + PENDING_MS);
                return Some(Joined::refused(MEMBER_ID_REQUIRED, &id));
            }
            // A static member that comes back takes its place again, under a new name.
            if let Some(old) = of_instance
                && let Some(member) = group.members.remove(&old)
            {
                if group.leader == old {
                    group.leader.clone_from(&id);
                }
                group.members.insert(id.clone(), member);
            }
            join.member = id;
        } else if of_instance.is_some_and(|held| held != join.member) {
            return refused(FENCED_INSTANCE_ID);
        } else if group.pending.remove(&join.member).is_none() && !group.members.contains_key(&join.member) {
            return refused(UNKNOWN_MEMBER_ID);
        }
        group.take_in(join, now_ms);
        None
    }

    /// Gives a member its assignment once the leader has said who gets what.
    pub(super) fn sync(
        &mut self,
        speaker: Speaker<'_>,
        assignments: &[(String, Vec<u8>)],
        now_ms: i64,
    ) -> Step<Synced> {
        let refused = |error| {
            Step::Reply(Synced {
                error,
                ..Synced::default()
            })
        };
        let group = match self.spoken(speaker, now_ms) {
            Ok(group) => group,
            Err(error) => return refused(error),
        };
        match group.phase {
            Phase::Empty => refused(UNKNOWN_MEMBER_ID),
            Phase::Joining { .. } => refused(REBALANCE_IN_PROGRESS),
            Phase::Syncing { .. } if group.leader == speaker.member => {
                for (id, assignment) in assignments {
                    if let Some(member) = group.members.get_mut(id) {
                        member.assignment.clone_from(assignment);
                    }
                }
                group.phase = Phase::Stable;
                Step::Reply(group.synced(speaker.member))
            }
            Phase::Syncing { .. } => Step::Wait,
            Phase::Stable => Step::Reply(group.synced(speaker.member)),
        }
    }

    /// Hears that a member lives, and tells it whether it must join again.
    pub(super) fn heartbeat(&mut self, speaker: Speaker<'_>, now_ms: i64) -> i16 {
        match self.spoken(speaker, now_ms) {
            Ok(group) if matches!(group.phase, Phase::Joining { .. }) => REBALANCE_IN_PROGRESS,
            Ok(_) => NONE,
            Err(error) => error,
        }
    }

    /// Lets a member go, named by itself or by its instance.
    pub(super) fn leave(&mut self, group: &str, member: &str, instance: Option<&str>, now_ms: i64) -> i16 {
        let Some(group) = self.all.get_mut(group) else {
            return UNKNOWN_MEMBER_ID;
        };
        group.advance(now_ms);
        let id = group
            .members
            .iter()
            .find(|(id, held)| match instance {
                Some(instance) => held.instance.as_deref() == Some(instance),
                None => id.as_str() == member,
            })
            .map(|(id, _)| id.clone());
        let Some(id) = id else {
            let pending = group.pending.remove(member).is_some();
            return if pending { NONE } else { UNKNOWN_MEMBER_ID };
        };
        if instance.is_some() && !member.is_empty() && id != member {
            return FENCED_INSTANCE_ID;
        }
        group.members.remove(&id);
        group.changed(now_ms);
        NONE
    }

    /// Tells whether an offset may be committed: by a member of this generation, or where nobody is in the group.
    pub(super) fn may_commit(&mut self, speaker: Speaker<'_>, now_ms: i64) -> i16 {
        if let Some(group) = self.all.get_mut(speaker.group) {
            group.advance(now_ms);
            if !group.members.is_empty() {
                return self.spoken(speaker, now_ms).err().unwrap_or(NONE);
            }
        }
        if speaker.generation < 0 {
            NONE
        } else {
            UNKNOWN_MEMBER_ID
        }
    }

    /// Returns the groups that there are: name, kind, state.
    pub(super) fn list(&mut self, now_ms: i64) -> Vec<(String, String, &'static str)> {
        self.advance(now_ms);
        let row =
            |(name, group): (&String, &Group)| (name.clone(), group.protocol_type.clone(), group.state());
        self.all.iter().map(row).collect()
    }

    pub(super) fn describe(&mut self, name: &str, now_ms: i64) -> Option<Described> {
        let group = self.all.get_mut(name)?;
        group.advance(now_ms);
        let members = group.members.iter().map(|(id, member)| DescribedMember {
            id: id.clone(),
            instance: member.instance.clone(),
            client: member.client.clone(),
            host: member.host.clone(),
            metadata: member.metadata(&group.protocol).to_vec(),
            assignment: member.assignment.clone(),
        });
        Some(Described {
            state: group.state(),
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            members: members.collect(),
        })
    }

    /// Does what is due: silent members go, phases end.
    pub(super) fn advance(&mut self, now_ms: i64) {
        for group in self.all.values_mut() {
            group.advance(now_ms);
        }
    }

    /// Returns the group for which somebody speaks rightly.
    fn spoken(&mut self, speaker: Speaker<'_>, now_ms: i64) -> Result<&mut Group, i16> {
        let group = self.all.get_mut(speaker.group).ok_or(UNKNOWN_MEMBER_ID)?;
        group.advance(now_ms);
        if let Some(instance) = speaker.instance {
            let holder = group
                .members
                .iter()
                .find(|(_, member)| member.instance.as_deref() == Some(instance));
            match holder {
                None => return Err(UNKNOWN_MEMBER_ID),
                Some((id, _)) if id != speaker.member => return Err(FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        let generation = group.generation;
        let member = group.members.get_mut(speaker.member).ok_or(UNKNOWN_MEMBER_ID)?;
        member.seen_ms = now_ms;
        if speaker.generation == generation {
            Ok(group)
        } else {
            Err(ILLEGAL_GENERATION)
        }
    }
}

impl Group {
    fn new() -> Self {
        Self {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    fn state(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::Joining { .. } => "PreparingRebalance",
            Phase::Syncing { .. } => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }

    /// Tells whether a member shares a protocol with everybody else.
    fn speaks(&self, join: &Join) -> bool {
        let shared = |name: &String| {
            self.members
                .iter()
                .filter(|(id, _)| **id != join.member)
                .all(|(_, member)| member.protocols.iter().any(|(known, _)| known == name))
        };
        join.protocol_type == self.protocol_type && join.protocols.iter().any(|(name, _)| shared(name))
    }

    fn take_in(&mut self, join: &Join, now_ms: i64) {
        let before = self.members.get(&join.member);
        let same = before.is_some_and(|member| member.protocols == join.protocols);
        let assignment = before.map(|member| member.assignment.clone()).unwrap_or_default();
        // Whoever lost the answer and asks again gets it again; a leader that joins again wants everybody to.
        let settled = match self.phase {
            Phase::Stable => same && self.leader != join.member,
            Phase::Syncing { .. } => same,
            Phase::Empty | Phase::Joining { .. } => false,
        };
        let session_timeout_ms = i64::from(join.session_timeout_ms);
        self.members.insert(
            join.member.clone(),
            Member {
                instance: join.instance.clone(),
                client: join.client.clone(),
                host: join.host.clone(),
                session_timeout_ms,
                rebalance_timeout_ms: i64::from(join.rebalance_timeout_ms)
                    .clamp(session_timeout_ms, i64::from(*SESSION_MS.end())),
                protocols: join.protocols.clone(),
                assignment,
                seen_ms: now_ms,
                joining: !settled,
            },
        );
        if self.phase == Phase::Empty {
            self.protocol_type.clone_from(&join.protocol_type);
            self.phase = Phase::Joining {
                since_ms: now_ms,
                until_ms: now_ms + FIRST_JOIN_MS,
            };
        } else if !settled {
            self.changed(now_ms);
        }
    }

    /// Begins a phase of joining, unless one is under way.
    fn changed(&mut self, now_ms: i64) {
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.generation += 1;
            self.leader.clear();
        } else if !matches!(self.phase, Phase::Joining { .. }) {
            let longest = self
                .members
                .values()
                .map(|member| member.rebalance_timeout_ms)
                .max();
            self.phase = Phase::Joining {
                since_ms: now_ms,
                until_ms: now_ms + longest.unwrap_or(0),
            };
        }
    }

    fn advance(&mut self, now_ms: i64) {
        self.pending.retain(|_, until_ms| *until_ms > now_ms);
        let before = self.members.len();
        // Whoever waits to join is there, however long the others take.
        self.members
            .retain(|_, member| member.joining || now_ms - member.seen_ms <= member.session_timeout_ms);
        if self.members.len() < before {
            self.changed(now_ms);
        }
        match self.phase {
            Phase::Joining { since_ms, until_ms } => {
                let all = self.members.values().all(|member| member.joining);
                let first = until_ms - since_ms <= FIRST_JOIN_MS;
                if now_ms >= until_ms || (all && !first) {
                    self.close_joining(now_ms);
                }
            }
            Phase::Syncing { until_ms } if now_ms >= until_ms => self.changed(now_ms),
            Phase::Empty | Phase::Syncing { .. } | Phase::Stable => {}
        }
    }

    /// Ends the phase of joining: who has not come is out, and the generation begins.
    fn close_joining(&mut self, now_ms: i64) {
        self.members.retain(|_, member| member.joining);
        self.generation += 1;
        let Some(first) = self.members.keys().next().cloned() else {
            self.phase = Phase::Empty;
            self.leader.clear();
            return;
        };
        if !self.members.contains_key(&self.leader) {
            self.leader = first;
        }
        self.protocol = self.vote();
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms)
            .max();
        self.phase = Phase::Syncing {
            until_ms: now_ms + longest.unwrap_or(0),
        };
        for member in self.members.values_mut() {
            member.joining = false;
            member.seen_ms = now_ms;
            member.assignment.clear();
        }
    }

    /// Returns the protocol that most members put first, among those that all have.
    fn vote(&self) -> String {
        let mut votes: BTreeMap<&String, usize> = BTreeMap::new();
        for member in self.members.values() {
            let shared = member.protocols.iter().map(|(name, _)| name).find(|name| {
                let knows = |member: &Member| member.protocols.iter().any(|(known, _)| known == *name);
                self.members.values().all(knows)
            });
            if let Some(name) = shared {
                *votes.entry(name).or_default() += 1;
            }
        }
        let best = votes.into_iter().max_by_key(|(_, count)| *count);
        best.map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn joined(&self, id: &str) -> Joined {
        let members = if self.leader == id {
            let row = |(id, member): (&String, &Member)| {
                let metadata = member.metadata(&self.protocol).to_vec();
                (id.clone(), member.instance.clone(), metadata)
            };
            self.members.iter().map(row).collect()
        } else {
            Vec::new()
        };
        Joined {
            error: NONE,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member: id.to_owned(),
            members,
        }
    }

    fn synced(&self, id: &str) -> Synced {
        Synced {
            error: NONE,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self
                .members
                .get(id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }
}

impl Member {
    fn metadata(&self, protocol: &str) -> &[u8] {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map_or(&[], |(_, metadata)| metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(member: &str) -> Join {
        Join {
            group: "team".to_owned(),
            member: member.to_owned(),
            instance: None,
            client: "client".to_owned(),
            host: "/127.0.0.1".to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), b"topics".to_vec())],
            named_first: false,
        }
    }

    fn reply<T: std::fmt::Debug>(step: Step<T>) -> T {
        match step {
            Step::Reply(reply) => reply,
            Step::Wait => panic!("it waits"),
        }
    }

    fn speaker(joined: &Joined) -> Speaker<'_> {
        Speaker {
            group: "team",
            member: &joined.member,
            instance: None,
            generation: joined.generation,
        }
    }

    /// Joins alone, at a moment, and is assigned.
    fn alone(groups: &mut Groups, now_ms: i64) -> Joined {
        let mut first = join("");
        assert_eq!(groups.join(&mut first, false, now_ms), Step::Wait);
        let joined = reply(groups.join(&mut first, true, now_ms + FIRST_JOIN_MS));
        assert_eq!(joined.error, NONE);
        let all = [(joined.member.clone(), b"all".to_vec())];
        let synced = reply(groups.sync(speaker(&joined), &all, now_ms + FIRST_JOIN_MS));
        assert_eq!(synced.assignment, b"all");
        joined
    }

    #[test]
    fn the_first_member_leads_and_gets_what_it_assigns_itself() {
        let mut groups = Groups::default();
        let joined = alone(&mut groups, 0);
        assert_eq!(joined.leader, joined.member);
        assert_eq!(joined.members.len(), 1);
        assert_eq!(groups.heartbeat(speaker(&joined), 1000), NONE);
        assert_eq!(groups.describe("team", 1000).unwrap().state, "Stable");
    }

    #[test]
    fn a_second_member_makes_everybody_join_again() {
        let mut groups = Groups::default();
        let first = alone(&mut groups, 0);
        let mut second = join("");
        assert_eq!(groups.join(&mut second, false, 1000), Step::Wait);
        assert_eq!(groups.heartbeat(speaker(&first), 1100), REBALANCE_IN_PROGRESS);
        let mut again = join(&first.member);
        let leader = reply(groups.join(&mut again, false, 1200));
        let follower = reply(groups.join(&mut second, true, 1200));
        assert_eq!(leader.generation, first.generation + 1);
        assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
        assert_eq!(follower.leader, leader.member);
        assert_eq!(groups.sync(speaker(&follower), &[], 1300), Step::Wait);
        let halves = [
            (leader.member.clone(), b"a".to_vec()),
            (follower.member.clone(), b"b".to_vec()),
        ];
        assert_eq!(
            reply(groups.sync(speaker(&leader), &halves, 1400)).assignment,
            b"a"
        );
        assert_eq!(reply(groups.sync(speaker(&follower), &[], 1500)).assignment, b"b");
        // The generation before has nothing to say any more.
        assert_eq!(groups.heartbeat(speaker(&first), 1600), ILLEGAL_GENERATION);
    }

    #[test]
    fn a_member_that_is_silent_is_out_and_its_part_goes_to_others() {
        let mut groups = Groups::default();
        let first = alone(&mut groups, 0);
        let mut second = join("");
        assert_eq!(groups.join(&mut second, false, 5_000), Step::Wait);
        // The first never says that it joins again: its session ends.
        let joined = reply(groups.join(&mut second, true, 20_000));
        assert_eq!((joined.members.len(), joined.leader == joined.member), (1, true));
        assert_eq!(groups.heartbeat(speaker(&first), 20_001), UNKNOWN_MEMBER_ID);
    }

    #[test]
    fn a_member_that_leaves_is_out_at_once() {
        let mut groups = Groups::default();
        let first = alone(&mut groups, 0);
        assert_eq!(groups.leave("team", &first.member, None, 1000), NONE);
        assert_eq!(groups.leave("team", &first.member, None, 1000), UNKNOWN_MEMBER_ID);
        assert_eq!(groups.describe("team", 1000).unwrap().state, "Empty");
    }

    #[test]
    fn a_client_that_understands_it_is_given_its_name_first() {
        let mut groups = Groups::default();
        let mut first = Join {
            named_first: true,
            ..join("")
        };
        let named = reply(groups.join(&mut first, false, 0));
        assert_eq!(named.error, MEMBER_ID_REQUIRED);
        first.member = named.member;
        assert_eq!(groups.join(&mut first, false, 10), Step::Wait);
        let mut stranger = join("made-up");
        assert_eq!(
            reply(groups.join(&mut stranger, false, 20)).error,
            UNKNOWN_MEMBER_ID
        );
    }

    #[test]
    fn a_static_member_takes_its_place_again_and_the_one_before_is_fenced() {
        let mut groups = Groups::default();
        let mut first = Join {
            instance: Some("laptop".to_owned()),
            ..join("")
        };
        assert_eq!(groups.join(&mut first, false, 0), Step::Wait);
        let before = reply(groups.join(&mut first, true, FIRST_JOIN_MS));
        let mut again = Join {
            instance: Some("laptop".to_owned()),
            ..join("")
        };
        let step = groups.join(&mut again, false, 1000);
        let after = reply(if step == Step::Wait {
            groups.join(&mut again, true, 1000)
        } else {
            step
        });
        assert_ne!(before.member, after.member);
        let old = Speaker {
            instance: Some("laptop"),
            ..speaker(&before)
        };
        assert_eq!(groups.heartbeat(old, 1100), FENCED_INSTANCE_ID);
    }

    #[test]
    fn who_has_no_protocol_in_common_is_refused() {
        let mut groups = Groups::default();
        alone(&mut groups, 0);
        let mut other = Join {
            protocols: vec![("sticky".to_owned(), Vec::new())],
            ..join("")
        };
        assert_eq!(
            reply(groups.join(&mut other, false, 1000)).error,
            INCONSISTENT_GROUP_PROTOCOL
        );
    }

    #[test]
    fn a_group_takes_only_so_many() {
        let mut groups = Groups::default();
        for _ in 0..MAX_MEMBERS {
            assert_eq!(groups.join(&mut join(""), false, 0), Step::Wait);
        }
        assert_eq!(
            reply(groups.join(&mut join(""), false, 0)).error,
            GROUP_MAX_SIZE_REACHED
        );
    }

    #[test]
    fn offsets_are_committed_by_members_and_where_nobody_is_by_anybody() {
        let mut groups = Groups::default();
        let nobody = Speaker {
            group: "team",
            member: "",
            instance: None,
            generation: -1,
        };
        assert_eq!(groups.may_commit(nobody, 0), NONE);
        let joined = alone(&mut groups, 0);
        assert_eq!(groups.may_commit(nobody, 1000), UNKNOWN_MEMBER_ID);
        assert_eq!(groups.may_commit(speaker(&joined), 1000), NONE);
        let old = Speaker {
            generation: 0,
            ..speaker(&joined)
        };
        assert_eq!(groups.may_commit(old, 1000), ILLEGAL_GENERATION);
    }
}
