//! The API through its room and through its door.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::*;
use crate::clock::Clock;
use crate::door::Door;
use crate::seed::Key;
use crate::world::{Habits, Profile, UserId, WorldSpec};

const LIMIT: Limit = Limit {
    per_minute: 60,
    burst: 1_000,
};

fn company(profile: Profile, limit: Limit) -> Company {
    let key = Key::from_seed(5);
    let spec = WorldSpec {
        users: 400,
        movies: 120,
        profile,
    };
    let habits = Habits {
        joining: 0.2,
        ..Habits::default()
    };
    let world = World::new(&key, spec, 1).with_habits(habits);
    Company::new(Arc::new(world), limit, &key.branch("company"))
}

fn get(company: &Company, path: &str) -> Reply {
    let ask = Ask {
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: String::new(),
        client: [10, 0, 0, 1].into(),
    };
    company.answer(&ask, 0)
}

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn a_user_has_the_form_of_the_contract() {
    let company = company(Profile::Classic, LIMIT);
    let user = company.world.user(UserId(7)).unwrap();
    let wanted = format!(
        r#"{{"user_id": 7, "age": {}, "occupation": "{}", "gender": "{}"}}"#,
        user.age,
        user.occupation.label(),
        user.gender.letter()
    );
    assert_eq!(text(&get(&company, "/user/7")), wanted);
}

#[test]
fn what_is_unknown_is_404_with_the_contracts_message() {
    for profile in [Profile::Classic, Profile::Current] {
        let company = company(profile, LIMIT);
        for path in [
            "/user/0",
            "/user/401",
            "/user/07",
            "/user/x",
            "/user/",
            "/user/99999999999",
        ] {
            let reply = get(&company, path);
            assert_eq!(
                (reply.status, text(&reply)),
                (404, r#"{"message": "user not found"}"#),
                "{path}"
            );
        }
        let reply = get(&company, "/movie/no+such+movie+1999");
        assert_eq!(
            (reply.status, text(&reply)),
            (404, r#"{"message": "movie not found"}"#)
        );
        assert_eq!(get(&company, "/movies").status, 404);
        assert_eq!(get(&company, "/%ff").status, 400);
    }
}

#[test]
fn scalars_of_a_movie_are_texts_in_classic_and_typed_in_current() {
    for profile in [Profile::Classic, Profile::Current] {
        let company = company(profile, LIMIT);
        let index = company.world.by_appeal()[0];
        let id = &company.world.movie(index).id;
        let record = json(&get(&company, &format!("/movie/{}", id.replace('+', "%2B"))));
        assert_eq!(record["id"], id.as_str());
        assert!(record["tmdb_id"].is_number() && record["runtime"].is_number());
        let is_classic = profile == Profile::Classic;
        assert_eq!(record["adult"].is_string(), is_classic);
        assert_eq!(record["vote_average"].is_string(), is_classic);
        assert_eq!(record.get("cost").is_some(), !is_classic);
    }
}

#[test]
fn several_ids_at_once_are_answered_in_their_order_in_current_alone() {
    let current = company(Profile::Current, LIMIT);
    let several = json(&get(&current, "/user/5,9999,3"));
    assert_eq!(several[0]["user_id"], 5);
    assert_eq!(several[1]["message"], "user not found");
    assert_eq!(several[2]["user_id"], 3);
    assert_eq!(get(&current, "/user/9998,9999").status, 404);
    let many: Vec<String> = (1..=201).map(|id| id.to_string()).collect();
    assert_eq!(get(&current, &format!("/user/{}", many.join(","))).status, 400);
    assert_eq!(
        get(&current, &format!("/user/{}", many[..200].join(","))).status,
        200
    );
    let classic = company(Profile::Classic, LIMIT);
    assert_eq!(get(&classic, "/user/5,3").status, 404);
}

#[test]
fn who_joins_later_is_not_known_yet() {
    let company = company(Profile::Current, LIMIT);
    let (late, day) = company
        .world
        .user_ids()
        .find_map(|id| Some((id, company.world.joined(id)?)))
        .unwrap();
    let path = format!("/user/{}", late.0);
    assert_eq!(get(&company, &path).status, 200);
    company.set_day(day - 0.1);
    assert_eq!(get(&company, &path).status, 404);
    company.set_day(day + 0.1);
    assert_eq!(get(&company, &path).status, 200);
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let limit = Limit {
        per_minute: 6,
        burst: 2,
    };
    let company = company(Profile::Classic, limit);
    assert_eq!(get(&company, "/user/1").status, 200);
    assert_eq!(get(&company, "/user/2").status, 200);
    let reply = get(&company, "/user/3");
    assert_eq!(reply.status, 429);
    assert_eq!(reply.headers, [("retry-after", "10".to_owned())]);
    let counts = company.counts();
    assert_eq!((counts.of(Route::User, 429), counts.total()), (1, 3));
    let mut page = String::new();
    counts.expose(&mut page);
    assert!(
        page.contains("reelworld_api_requests_total{route=\"user\",status=\"429\"} 1\n"),
        "{page}"
    );
}

#[test]
fn faults_are_switched_on_and_off() {
    let company = company(Profile::Classic, LIMIT);
    let on = |kind: FaultKind, share: f64| {
        company.set_faults(vec![ApiFault {
            kind,
            route: Some(Route::User),
            share,
        }]);
    };
    on(FaultKind::Outage, 1.0);
    assert_eq!(get(&company, "/user/1").status, 503);
    assert_eq!(get(&company, "/movie/x").status, 404);
    on(FaultKind::Slow(Duration::from_secs(3)), 1.0);
    let slow = get(&company, "/user/1");
    assert_eq!((slow.status, slow.wait), (200, Duration::from_secs(3)));
    on(FaultKind::Outage, 0.3);
    let down = (0..300)
        .filter(|_| get(&company, "/user/1").status == 503)
        .count();
    assert!((60..120).contains(&down), "{down}");
    company.set_faults(Vec::new());
    assert_eq!(get(&company, "/user/1").status, 200);
}

#[test]
fn a_changed_form_keeps_what_it_does_not_change() {
    let company = company(Profile::Classic, LIMIT);
    let before = json(&get(&company, "/user/1"));
    let changes = [
        Change::Wrapped,
        Change::Renamed {
            from: "user_id".to_owned(),
            to: "userId".to_owned(),
        },
        Change::Text("age".to_owned()),
        Change::Gone("gender".to_owned()),
    ];
    company.set_faults(
        changes
            .into_iter()
            .map(|change| ApiFault {
                kind: FaultKind::Changed(change),
                route: None,
                share: 1.0,
            })
            .collect(),
    );
    let after = json(&get(&company, "/user/1"));
    let wanted = serde_json::json!({"data": {
        "userId": 1,
        "age": before["age"].to_string(),
        "occupation": before["occupation"],
    }});
    assert_eq!(after, wanted);
}

#[test]
fn every_record_meets_the_schema_of_the_document() {
    for profile in [Profile::Classic, Profile::Current] {
        let company = company(
            profile,
            Limit {
                per_minute: 60,
                burst: 10_000,
            },
        );
        let document = json(&get(&company, "/openapi.json"));
        let check = |name: &str, record: &Value| {
            let mut schema = document["components"]["schemas"][name].clone();
            // What the document does not name must not come.
            schema["additionalProperties"] = Value::from(false);
            let validator = jsonschema::validator_for(&schema).unwrap();
            let faults: Vec<String> = validator.iter_errors(record).map(|e| e.to_string()).collect();
            assert!(faults.is_empty(), "{record}: {faults:?}");
        };
        for id in company.world.user_ids() {
            check("user", &json(&get(&company, &format!("/user/{}", id.0))));
        }
        for index in company.world.movie_indices() {
            let id = &company.world.movie(index).id;
            check("movie", &json(&get(&company, &format!("/movie/{id}"))));
        }
    }
}

#[test]
fn the_api_is_asked_through_its_door() {
    let company = Arc::new(company(Profile::Classic, LIMIT));
    let room: Arc<dyn Room> = Arc::clone(&company) as Arc<dyn Room>;
    let door = Door::open("127.0.0.1:0".parse().unwrap(), room, Clock::start()).unwrap();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(door.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let found = ask("GET /user/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(found.contains("content-type: application/json\r\n"), "{found}");
    assert!(found.contains("\r\n\r\n{\"user_id\": 7, "), "{found}");
    let refused = ask("DELETE /user/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    assert!(refused.contains("allow: GET, HEAD\r\n"), "{refused}");
    assert_eq!(company.counts().total(), 2);
}
