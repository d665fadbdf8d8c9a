//! What the broker answers: one function per request, from its bytes to the bytes of its response.

use std::net::SocketAddr;
use std::time::Duration;

use super::groups::{Groups, Join, Joined, Speaker, Synced, error};
use super::offsets::MAX_NOTE;
use super::shared::{Shared, Topic};
use super::wire::{Input, Malformed, Output};
use crate::stream::{At, StreamError};

/// The number of the only node.
const NODE: i32 = 1;
/// The most bytes of one response to a fetch: what a consumer gets at once, and what a connection may hold of our memory.
const MAX_FETCH: usize = 8 << 20;
/// The longest that a fetch waits for something new, whatever the client asks.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How often a fetch that waits looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a consumer may do, as bits of Kafka's operations: read, describe and describe the configuration of a topic;
/// describe the cluster; read, describe and delete a group.
const TOPIC_RIGHTS: i32 = 1 << 3 | 1 << 8 | 1 << 10;
const CLUSTER_RIGHTS: i32 = 1 << 8 | 1 << 10;
const GROUP_RIGHTS: i32 = 1 << 3 | 1 << 6 | 1 << 8;
/// What stands for rights that were not asked for.
const UNASKED: i32 = i32::MIN;

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const OFFSET_METADATA_TOO_LARGE: i16 = 12;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const KAFKA_STORAGE_ERROR: i16 = 56;

/// A request that is answered: its number, the versions, and from which on it is flexible.
struct Api {
    key: i16,
    versions: (i16, i16),
    flexible_from: i16,
    answer: fn(&mut Request<'_, '_>, &mut Output) -> Result<(), Malformed>,
}

/// The requests in order. Versions are those that every client of the matrix can agree on.
const APIS: &[Api] = &[
    api(0, (3, 8), 9, produce),
    api(1, (4, 11), 12, fetch),
    api(2, (1, 6), 6, list_offsets),
    api(3, (0, 9), 9, metadata),
    api(8, (2, 8), 8, offset_commit),
    api(9, (1, 8), 6, offset_fetch),
    api(10, (0, 4), 3, find_coordinator),
    api(11, (0, 7), 6, join_group),
    api(12, (0, 4), 4, heartbeat),
    api(13, (0, 4), 4, leave_group),
    api(14, (0, 5), 4, sync_group),
    api(15, (0, 5), 5, describe_groups),
    api(16, (0, 4), 3, list_groups),
    api(API_VERSIONS, (0, 3), 3, api_versions),
    api(19, (2, 4), 5, create_topics),
    api(22, (0, 1), 2, init_producer),
    api(32, (1, 4), 4, describe_configs),
    api(60, (0, 1), 0, describe_cluster),
];
const API_VERSIONS: i16 = 18;

const fn api(
    key: i16,
    versions: (i16, i16),
    flexible_from: i16,
    answer: fn(&mut Request<'_, '_>, &mut Output) -> Result<(), Malformed>,
) -> Api {
    Api {
        key,
        versions,
        flexible_from,
        answer,
    }
}

/// A request as its answer sees it.
pub(super) struct Request<'f, 's> {
    shared: &'s Shared,
    input: Input<'f>,
    version: i16,
    client: &'f str,
    peer: SocketAddr,
}

/// Answers a frame (without its length) with a frame (with its length).
///
/// What is no request of ours closes the connection, as with Kafka.
pub(super) fn answer(shared: &Shared, frame: &[u8], peer: SocketAddr) -> Result<Vec<u8>, Malformed> {
    let mut input = Input::new(frame);
    let key = input.i16()?;
    let version = input.i16()?;
    let correlation = input.i32()?;
    let api = APIS
        .iter()
        .find(|api| api.key == key)
        .ok_or(Malformed("the request is none that this broker knows"))?;
    let mut output = Output::begin(correlation);
    if !(api.versions.0..=api.versions.1).contains(&version) {
        if key != API_VERSIONS {
            return Err(Malformed("the request has a version that was not offered"));
        }
        // A client that asks too high a version is told what there is, in the oldest form.
        versions(&mut output, UNSUPPORTED_VERSION);
        return Ok(output.finish());
    }
    let flexible = version >= api.flexible_from;
    // The name of a client is written in the old way in every version; the header's tags follow.
    let client = input.optional_text()?.unwrap_or_default();
    input.flexible = flexible;
    input.tags()?;
    output.flexible = flexible;
    if key != API_VERSIONS {
        output.tags();
    }
    let mut request = Request {
        shared,
        input,
        version,
        client,
        peer,
    };
    (api.answer)(&mut request, &mut output)?;
    Ok(output.finish())
}

fn versions(output: &mut Output, error: i16) {
    output.i16(error);
    output.list(APIS, |output, api| {
        output.i16(api.key);
        output.i16(api.versions.0);
        output.i16(api.versions.1);
        output.tags();
    });
}

fn api_versions(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    if request.version >= 3 {
        request.input.text()?;
        request.input.text()?;
        request.input.tags()?;
    }
    versions(output, error::NONE);
    if request.version >= 1 {
        output.i32(0);
    }
    output.tags();
    Ok(())
}

fn metadata(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let asked = request.input.optional_list(|input| {
        let name = input.text()?;
        input.tags()?;
        Ok(name.to_owned())
    })?;
    if version >= 4 {
        request.input.bool()?; // topics are never made by asking for them
    }
    let mut rights = (false, false);
    if version >= 8 {
        rights = (request.input.bool()?, request.input.bool()?);
    }
    request.input.tags()?;
    let shared = request.shared;
    // In the oldest version no names stand for all.
    let asked = asked.filter(|names| version > 0 || !names.is_empty());
    let topics: Vec<(String, bool)> = match asked {
        Some(names) => names
            .into_iter()
            .map(|name| (shared.topic(&name).is_some(), name))
            .map(|(there, name)| (name, there))
            .collect(),
        None => shared.topics().into_iter().map(|name| (name, true)).collect(),
    };
    if version >= 3 {
        output.i32(0);
    }
    output.list(&[()], |output, ()| broker(shared, version >= 1, output));
    if version >= 2 {
        output.optional_text(Some(&shared.cluster));
    }
    if version >= 1 {
        output.i32(NODE);
    }
    output.list(&topics, |output, (name, there)| {
        output.i16(if *there {
            error::NONE
        } else {
            UNKNOWN_TOPIC_OR_PARTITION
        });
        output.text(name);
        if version >= 1 {
            output.bool(false);
        }
        let partitions: &[i32] = if *there { &[0] } else { &[] };
        output.list(partitions, |output, partition| {
            output.i16(error::NONE);
            output.i32(*partition);
            output.i32(NODE);
            if version >= 7 {
                output.i32(0);
            }
            output.list(&[NODE], |output, node| output.i32(*node));
            output.list(&[NODE], |output, node| output.i32(*node));
            if version >= 5 {
                output.list(&[], |output, node| output.i32(*node));
            }
            output.tags();
        });
        if version >= 8 {
            output.i32(if rights.1 { TOPIC_RIGHTS } else { UNASKED });
        }
        output.tags();
    });
    if version >= 8 {
        output.i32(if rights.0 { CLUSTER_RIGHTS } else { UNASKED });
    }
    output.tags();
    Ok(())
}

fn broker(shared: &Shared, rack: bool, output: &mut Output) {
    output.i32(NODE);
    output.text(&shared.host);
    output.i32(i32::from(shared.port));
    if rack {
        output.optional_text(None);
    }
    output.tags();
}

/// What a fetch asks of one topic: partition, offset, most bytes.
type FetchTopic = (String, Vec<(i32, i64, i32)>);

fn fetch(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let input = &mut request.input;
    input.i32()?; // the replica
    let wait = Duration::from_millis(u64::try_from(input.i32()?).unwrap_or(0)).min(MAX_WAIT);
    let min_bytes = usize::try_from(input.i32()?).unwrap_or(0);
    let max_bytes = usize::try_from(input.i32()?).unwrap_or(0).min(MAX_FETCH);
    input.i8()?; // the isolation: there are no transactions
    if version >= 7 {
        input.i32()?; // a session, which is never begun
        input.i32()?;
    }
    let asked: Vec<FetchTopic> = input.list(|input| {
        let name = input.text()?.to_owned();
        let partitions = input.list(|input| {
            let partition = input.i32()?;
            if version >= 9 {
                input.i32()?;
            }
            let offset = input.i64()?;
            if version >= 5 {
                input.i64()?;
            }
            Ok((partition, offset, input.i32()?))
        })?;
        Ok((name, partitions))
    })?;
    let shared = request.shared;
    let until = shared.clock.elapsed() + wait;
    let fetched = loop {
        let fetched = fetch_once(shared, &asked, max_bytes);
        let bytes: usize = fetched.iter().flatten().map(|part| part.records.len()).sum();
        let failed = fetched.iter().flatten().any(|part| part.error != error::NONE);
        if failed
            || asked.is_empty()
            || bytes >= min_bytes.max(1)
            || shared.clock.elapsed() >= until
            || shared.stopping()
        {
            break fetched;
        }
        shared.clock.sleep(LOOK_EVERY);
    };
    output.i32(0);
    if version >= 7 {
        output.i16(error::NONE);
        output.i32(0);
    }
    let all: Vec<_> = asked.iter().zip(&fetched).collect();
    output.list(&all, |output, ((name, partitions), fetched)| {
        output.text(name);
        let parts: Vec<_> = partitions.iter().zip(fetched.iter()).collect();
        output.list(&parts, |output, ((partition, ..), part)| {
            output.i32(*partition);
            output.i16(part.error);
            output.i64(part.end);
            output.i64(part.end);
            if version >= 5 {
                output.i64(part.start);
            }
            output.list(&[], |_, (): &()| {});
            if version >= 11 {
                output.i32(-1);
            }
            output.bytes(&part.records);
        });
    });
    Ok(())
}

/// What is there of one partition.
#[derive(Debug, Default)]
struct Part {
    error: i16,
    start: i64,
    end: i64,
    records: Vec<u8>,
}

fn fetch_once(shared: &Shared, asked: &[FetchTopic], max_bytes: usize) -> Vec<Vec<Part>> {
    let mut left = max_bytes;
    let mut first = true;
    let part = |topic: Option<&Topic>, (partition, offset, most): &(i32, i64, i32)| {
        let (Some(topic), 0) = (topic, *partition) else {
            return Part {
                error: UNKNOWN_TOPIC_OR_PARTITION,
                start: -1,
                end: -1,
                records: Vec::new(),
            };
        };
        // The first batch is given whatever its size, so that a consumer with small limits comes on.
        let most = usize::try_from(*most).unwrap_or(0).min(left);
        let part = if first || most > 0 {
            read(topic, *offset, most)
        } else {
            bounds(topic)
        };
        if !part.records.is_empty() {
            first = false;
        }
        left = left.saturating_sub(part.records.len());
        part
    };
    let mut part = part;
    asked
        .iter()
        .map(|(name, partitions)| {
            let topic = shared.topic(name);
            partitions
                .iter()
                .map(|asked| part(topic.as_deref(), asked))
                .collect()
        })
        .collect()
}

fn bounds(topic: &Topic) -> Part {
    match topic.log().bounds() {
        Ok(bounds) => Part {
            start: bounds.start as i64,
            end: bounds.end as i64,
            ..Part::default()
        },
        Err(_) => Part {
            error: KAFKA_STORAGE_ERROR,
            ..Part::default()
        },
    }
}

fn read(topic: &Topic, offset: i64, most: usize) -> Part {
    let mut part = bounds(topic);
    if part.error != error::NONE {
        return part;
    }
    if offset < part.start || offset > part.end {
        part.error = OFFSET_OUT_OF_RANGE;
    } else if fetch_whole(topic, offset as u64, most, &mut part.records).is_err() {
        part.error = KAFKA_STORAGE_ERROR;
        part.records.clear();
    }
    part
}

/// Reads batches from an event on, or from the first whole batch behind it where it is lost: to a client that is a jump in the
/// offsets, as every compacted topic has them.
fn fetch_whole(topic: &Topic, from: u64, most: usize, out: &mut Vec<u8>) -> Result<u64, StreamError> {
    let mut from = from;
    loop {
        let fetched = topic.log().fetch(from, most, out);
        match fetched {
            Err(StreamError::Corrupt { lost, .. })
                if lost.end > from && lost.end <= topic.log().bounds()?.end =>
            {
                from = lost.end;
            }
            other => return other,
        }
    }
}

fn list_offsets(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let input = &mut request.input;
    input.i32()?;
    if version >= 2 {
        input.i8()?;
    }
    let asked = input.list(|input| {
        let name = input.text()?.to_owned();
        let partitions = input.list(|input| {
            let partition = input.i32()?;
            if version >= 4 {
                input.i32()?;
            }
            let moment = input.i64()?;
            input.tags()?;
            Ok((partition, moment))
        })?;
        input.tags()?;
        Ok((name, partitions))
    })?;
    input.tags()?;
    if version >= 2 {
        output.i32(0);
    }
    output.list(&asked, |output, (name, partitions)| {
        let topic = request.shared.topic(name);
        output.text(name);
        output.list(partitions, |output, (partition, moment)| {
            let (error, stamp, offset) = match &topic {
                Some(topic) if *partition == 0 => offset_at(topic, *moment),
                _ => (UNKNOWN_TOPIC_OR_PARTITION, -1, -1),
            };
            output.i32(*partition);
            output.i16(error);
            output.i64(stamp);
            output.i64(offset);
            if version >= 4 {
                output.i32(if offset < 0 { -1 } else { 0 });
            }
            output.tags();
        });
        output.tags();
    });
    output.tags();
    Ok(())
}

/// Returns the offset at a moment: an error, the stamp that stands there, the offset.
fn offset_at(topic: &Topic, moment: i64) -> (i16, i64, i64) {
    let mut log = topic.log();
    let found = match moment {
        -1 => log.resolve(At::End).map(|end| Some((end, -1))),
        -2 => log.resolve(At::Start).map(|start| Some((start, -1))),
        moment if moment < 0 => return (INVALID_REQUEST, -1, -1),
        moment => log.first_at(moment),
    };
    match found {
        Ok(Some((seq, stamp))) => (error::NONE, stamp, seq as i64),
        Ok(None) => (error::NONE, -1, -1),
        Err(_) => (KAFKA_STORAGE_ERROR, -1, -1),
    }
}

fn find_coordinator(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let input = &mut request.input;
    let mut keys = Vec::new();
    if version <= 3 {
        keys.push(input.text()?.to_owned());
    }
    let kind = if version >= 1 { input.i8()? } else { 0 };
    if version >= 4 {
        keys = input.list(|input| input.text().map(str::to_owned))?;
    }
    input.tags()?;
    let shared = request.shared;
    // The coordinator of transactions is nobody: there are none.
    let error = if kind == 0 { error::NONE } else { INVALID_REQUEST };
    if version >= 1 {
        output.i32(0);
    }
    if version <= 3 {
        output.i16(error);
        if version >= 1 {
            output.optional_text(None);
        }
        output.i32(NODE);
        output.text(&shared.host);
        output.i32(i32::from(shared.port));
    } else {
        output.list(&keys, |output, key| {
            output.text(key);
            output.i32(NODE);
            output.text(&shared.host);
            output.i32(i32::from(shared.port));
            output.i16(error);
            output.optional_text(None);
            output.tags();
        });
    }
    output.tags();
    Ok(())
}

fn join_group(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let (client, host) = (request.client.to_owned(), format!("/{}", request.peer.ip()));
    let input = &mut request.input;
    let group = input.text()?.to_owned();
    let session_timeout_ms = input.i32()?;
    let mut join = Join {
        group,
        session_timeout_ms,
        rebalance_timeout_ms: if version >= 1 {
            input.i32()?
        } else {
            session_timeout_ms
        },
        member: input.text()?.to_owned(),
        instance: if version >= 5 {
            input.optional_text()?.map(str::to_owned)
        } else {
            None
        },
        protocol_type: input.text()?.to_owned(),
        protocols: input.list(|input| {
            let name = input.text()?.to_owned();
            let metadata = input.bytes()?.to_vec();
            input.tags()?;
            Ok((name, metadata))
        })?,
        client,
        host,
        named_first: version >= 4,
    };
    input.tags()?;
    let joined = request
        .shared
        .wait_for(|groups, again, now_ms| groups.join(&mut join, again, now_ms));
    // A broker that stops lets a member go; it comes again when the broker does.
    let joined = joined.unwrap_or_else(|| Joined {
        error: error::REBALANCE_IN_PROGRESS,
        ..Joined::default()
    });
    if version >= 2 {
        output.i32(0);
    }
    output.i16(joined.error);
    output.i32(joined.generation);
    if version >= 7 {
        output.optional_text(Some(&joined.protocol_type));
        output.optional_text(Some(&joined.protocol));
    } else {
        output.text(&joined.protocol);
    }
    output.text(&joined.leader);
    output.text(&joined.member);
    output.list(&joined.members, |output, (id, instance, metadata)| {
        output.text(id);
        if version >= 5 {
            output.optional_text(instance.as_deref());
        }
        output.bytes(metadata);
        output.tags();
    });
    output.tags();
    Ok(())
}

fn sync_group(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let input = &mut request.input;
    let group = input.text()?;
    let generation = input.i32()?;
    let member = input.text()?;
    let instance = if version >= 3 {
        input.optional_text()?
    } else {
        None
    };
    if version >= 5 {
        input.optional_text()?;
        input.optional_text()?;
    }
    let assignments = input.list(|input| {
        let member = input.text()?.to_owned();
        let assignment = input.bytes()?.to_vec();
        input.tags()?;
        Ok((member, assignment))
    })?;
    input.tags()?;
    let speaker = Speaker {
        group,
        member,
        instance,
        generation,
    };
    let synced = request
        .shared
        .wait_for(|groups, _, now_ms| groups.sync(speaker, &assignments, now_ms));
    let synced = synced.unwrap_or_else(|| Synced {
        error: error::REBALANCE_IN_PROGRESS,
        ..Synced::default()
    });
    if version >= 1 {
        output.i32(0);
    }
    output.i16(synced.error);
    if version >= 5 {
        output.optional_text(Some(&synced.protocol_type));
        output.optional_text(Some(&synced.protocol));
    }
    output.bytes(&synced.assignment);
    output.tags();
    Ok(())
}

fn heartbeat(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let input = &mut request.input;
    let group = input.text()?;
    let generation = input.i32()?;
    let member = input.text()?;
    let instance = if request.version >= 3 {
        input.optional_text()?
    } else {
        None
    };
    input.tags()?;
    let speaker = Speaker {
        group,
        member,
        instance,
        generation,
    };
    let error = request
        .shared
        .groups(|groups, now_ms| groups.heartbeat(speaker, now_ms));
    if request.version >= 1 {
        output.i32(0);
    }
    output.i16(error);
    output.tags();
    Ok(())
}

fn leave_group(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let input = &mut request.input;
    let group = input.text()?;
    let members = if version >= 3 {
        input.list(|input| {
            let member = input.text()?.to_owned();
            let instance = input.optional_text()?.map(str::to_owned);
            input.tags()?;
            Ok((member, instance))
        })?
    } else {
        vec![(input.text()?.to_owned(), None)]
    };
    input.tags()?;
    let left: Vec<i16> = request.shared.groups(|groups, now_ms| {
        let leave = |(member, instance): &(String, Option<String>)| {
            groups.leave(group, member, instance.as_deref(), now_ms)
        };
        members.iter().map(leave).collect()
    });
    if version >= 1 {
        output.i32(0);
    }
    if version >= 3 {
        output.i16(error::NONE);
        let members: Vec<_> = members.iter().zip(&left).collect();
        output.list(&members, |output, ((member, instance), error)| {
            output.text(member);
            output.optional_text(instance.as_deref());
            output.i16(**error);
            output.tags();
        });
    } else {
        output.i16(left.first().copied().unwrap_or(error::UNKNOWN_MEMBER_ID));
    }
    output.tags();
    Ok(())
}

fn offset_commit(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let input = &mut request.input;
    let group = input.text()?;
    let generation = input.i32()?;
    let member = input.text()?;
    let instance = if version >= 7 {
        input.optional_text()?
    } else {
        None
    };
    if version <= 4 {
        input.i64()?; // how long to keep it: for ever
    }
    let asked = input.list(|input| {
        let name = input.text()?.to_owned();
        let partitions = input.list(|input| {
            let partition = input.i32()?;
            let offset = input.i64()?;
            if version >= 6 {
                input.i32()?;
            }
            let note = input.optional_text()?.unwrap_or_default().to_owned();
            input.tags()?;
            Ok((partition, offset, note))
        })?;
        input.tags()?;
        Ok((name, partitions))
    })?;
    input.tags()?;
    let shared = request.shared;
    let speaker = Speaker {
        group,
        member,
        instance,
        generation,
    };
    let refused = shared.groups(|groups, now_ms| groups.may_commit(speaker, now_ms));
    if version >= 3 {
        output.i32(0);
    }
    output.list(&asked, |output, (name, partitions)| {
        output.text(name);
        output.list(partitions, |output, (partition, offset, note)| {
            let error = if refused != error::NONE {
                refused
            } else if *partition != 0 || shared.topic(name).is_none() {
                UNKNOWN_TOPIC_OR_PARTITION
            } else if note.len() > MAX_NOTE {
                OFFSET_METADATA_TOO_LARGE
            } else {
                let committed = shared.offsets().commit(group, name, *offset, note);
                committed.map_or(KAFKA_STORAGE_ERROR, |()| error::NONE)
            };
            output.i32(*partition);
            output.i16(error);
            output.tags();
        });
        output.tags();
    });
    output.tags();
    Ok(())
}

/// A group and the partitions of topics that are asked for; all where none are named.
type Wanted = (String, Option<Vec<(String, Vec<i32>)>>);

fn offset_fetch(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let input = &mut request.input;
    let topics = |input: &mut Input<'_>| {
        input.optional_list(|input| {
            let name = input.text()?.to_owned();
            let partitions = input.list(Input::i32)?;
            input.tags()?;
            Ok((name, partitions))
        })
    };
    let wanted: Vec<Wanted> = if version >= 8 {
        input.list(|input| {
            let group = input.text()?.to_owned();
            let topics = topics(input)?;
            input.tags()?;
            Ok((group, topics))
        })?
    } else {
        vec![(input.text()?.to_owned(), topics(input)?)]
    };
    if version >= 7 {
        input.bool()?; // whether transactions must be over: there are none
    }
    input.tags()?;
    if version >= 3 {
        output.i32(0);
    }
    if version >= 8 {
        output.list(&wanted, |output, wanted| {
            output.text(&wanted.0);
            committed(request.shared, version, wanted, output);
            output.i16(error::NONE);
            output.tags();
        });
    } else if let Some(wanted) = wanted.first() {
        committed(request.shared, version, wanted, output);
        if version >= 2 {
            output.i16(error::NONE);
        }
    }
    output.tags();
    Ok(())
}

fn committed(shared: &Shared, version: i16, (group, topics): &Wanted, output: &mut Output) {
    let offsets = shared.offsets();
    let topics = topics.clone().unwrap_or_else(|| {
        let all = offsets.of_group(group);
        all.map(|(topic, _)| (topic.to_owned(), vec![0])).collect()
    });
    output.list(&topics, |output, (name, partitions)| {
        output.text(name);
        output.list(partitions, |output, partition| {
            let found = offsets.get(group, name).filter(|_| *partition == 0);
            output.i32(*partition);
            output.i64(found.map_or(-1, |committed| committed.offset));
            if version >= 5 {
                output.i32(-1);
            }
            output.optional_text(Some(found.map_or("", |committed| committed.note.as_str())));
            output.i16(error::NONE);
            output.tags();
        });
        output.tags();
    });
}

fn describe_groups(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let names = request.input.list(|input| input.text().map(str::to_owned))?;
    let rights = version >= 3 && request.input.bool()?;
    request.input.tags()?;
    if version >= 1 {
        output.i32(0);
    }
    output.list(&names, |output, name| {
        let found = request
            .shared
            .groups(|groups, now_ms| groups.describe(name, now_ms));
        let state = match &found {
            Some(group) => group.state,
            None if request.shared.offsets().of_group(name).next().is_some() => "Empty",
            None => "Dead",
        };
        let group = found.as_ref();
        output.i16(error::NONE);
        output.text(name);
        output.text(state);
        output.text(group.map_or("", |group| group.protocol_type.as_str()));
        output.text(group.map_or("", |group| group.protocol.as_str()));
        let members = group.map_or(&[][..], |group| &group.members);
        output.list(members, |output, member| {
            output.text(&member.id);
            if version >= 4 {
                output.optional_text(member.instance.as_deref());
            }
            output.text(&member.client);
            output.text(&member.host);
            output.bytes(&member.metadata);
            output.bytes(&member.assignment);
            output.tags();
        });
        if version >= 3 {
            output.i32(if rights { GROUP_RIGHTS } else { UNASKED });
        }
        output.tags();
    });
    output.tags();
    Ok(())
}

fn list_groups(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let states = if version >= 4 {
        request.input.list(|input| input.text().map(str::to_owned))?
    } else {
        Vec::new()
    };
    request.input.tags()?;
    let mut groups = request.shared.groups(Groups::list);
    for name in request.shared.offsets().groups() {
        if !groups.iter().any(|(known, ..)| known == name) {
            groups.push((name.to_owned(), "consumer".to_owned(), "Empty"));
        }
    }
    groups.retain(|(.., state)| states.is_empty() || states.iter().any(|wanted| wanted == state));
    if version >= 1 {
        output.i32(0);
    }
    output.i16(error::NONE);
    output.list(&groups, |output, (name, kind, state)| {
        output.text(name);
        output.text(kind);
        if version >= 4 {
            output.text(state);
        }
        output.tags();
    });
    output.tags();
    Ok(())
}

/// What the broker says of a topic's settings, as a course's real Kafka would.
const TOPIC_CONFIGS: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.type", "CreateTime"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
];
const BROKER_CONFIGS: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "false"),
    ("log.retention.ms", "-1"),
    ("num.partitions", "1"),
];

fn describe_configs(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let input = &mut request.input;
    let asked = input.list(|input| {
        let kind = input.i8()?;
        let name = input.text()?.to_owned();
        let keys = input.optional_list(|input| input.text().map(str::to_owned))?;
        input.tags()?;
        Ok((kind, name, keys))
    })?;
    input.bool()?;
    if version >= 3 {
        input.bool()?;
    }
    input.tags()?;
    output.i32(0);
    output.list(&asked, |output, (kind, name, keys)| {
        let (error, configs) = match kind {
            2 if request.shared.topic(name).is_some() => (error::NONE, TOPIC_CONFIGS),
            2 => (UNKNOWN_TOPIC_OR_PARTITION, &[][..]),
            4 => (error::NONE, BROKER_CONFIGS),
            _ => (INVALID_REQUEST, &[][..]),
        };
        let wanted = |key: &str| {
            keys.as_ref()
                .is_none_or(|keys| keys.iter().any(|wanted| wanted == key))
        };
        let configs: Vec<_> = configs.iter().filter(|(key, _)| wanted(key)).collect();
        output.i16(error);
        output.optional_text(None);
        output.i8(*kind);
        output.text(name);
        output.list(&configs, |output, (key, value)| {
            output.text(key);
            output.optional_text(Some(value));
            output.bool(true);
            output.i8(5); // a default
            output.bool(false);
            output.list(&[], |_, (): &()| {});
            if version >= 3 {
                output.i8(2); // a text
                output.optional_text(None);
            }
            output.tags();
        });
        output.tags();
    });
    output.tags();
    Ok(())
}

fn describe_cluster(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let rights = request.input.bool()?;
    if request.version >= 1 {
        request.input.i8()?;
    }
    request.input.tags()?;
    output.i32(0);
    output.i16(error::NONE);
    output.optional_text(None);
    if request.version >= 1 {
        output.i8(1);
    }
    output.text(&request.shared.cluster);
    output.i32(NODE);
    output.list(&[()], |output, ()| broker(request.shared, true, output));
    output.i32(if rights { CLUSTER_RIGHTS } else { UNASKED });
    output.tags();
    Ok(())
}

/// Refuses what consumers may not do, in the words of a course's real Kafka.
const READ_ONLY: &str = "the company's topics are read-only";

fn produce(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let version = request.version;
    let input = &mut request.input;
    input.optional_text()?;
    input.i16()?;
    input.i32()?;
    let asked = input.list(|input| {
        let name = input.text()?.to_owned();
        let partitions = input.list(|input| {
            let partition = input.i32()?;
            input.bytes()?;
            Ok(partition)
        })?;
        Ok((name, partitions))
    })?;
    output.list(&asked, |output, (name, partitions)| {
        output.text(name);
        output.list(partitions, |output, partition| {
            output.i32(*partition);
            output.i16(TOPIC_AUTHORIZATION_FAILED);
            output.i64(-1);
            output.i64(-1);
            if version >= 5 {
                output.i64(-1);
            }
            if version >= 8 {
                output.list(&[], |_, (): &()| {});
                output.optional_text(Some(READ_ONLY));
            }
        });
    });
    output.i32(0);
    Ok(())
}

fn create_topics(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    let names = request.input.list(|input| {
        let name = input.text()?.to_owned();
        input.i32()?;
        input.i16()?;
        input.list(|input| {
            input.i32()?;
            input.list(Input::i32)
        })?;
        input.list(|input| {
            input.text()?;
            input.optional_text().map(drop)
        })?;
        Ok(name)
    })?;
    output.i32(0);
    output.list(&names, |output, name| {
        output.text(name);
        output.i16(TOPIC_AUTHORIZATION_FAILED);
        output.optional_text(Some(READ_ONLY));
    });
    Ok(())
}

fn init_producer(request: &mut Request<'_, '_>, output: &mut Output) -> Result<(), Malformed> {
    request.input.optional_text()?;
    request.input.i32()?;
    output.i32(0);
    output.i16(CLUSTER_AUTHORIZATION_FAILED);
    output.i64(-1);
    output.i16(-1);
    Ok(())
}
