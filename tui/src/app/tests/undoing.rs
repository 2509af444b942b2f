//! Taking back what was done, and what others decided meanwhile.

use super::*;

/// Does something, lets the master do it, and undoes it: what the undo does.
fn undone(keys: &str, after: impl Fn(&mut App)) -> Result<Vec<(Act, String, Option<KeyState>)>, String> {
    let mut app = app(fleet());
    let done = acts(&press(&mut app, keys));
    news(&mut app, News::Acted(vec![Outcome::Done; done.len()]));
    news(&mut app, News::ActsOver);
    app.over = None;
    after(&mut app);
    press(&mut app, "u");
    if app.over.is_none() {
        return Err(message(&app).to_owned());
    }
    assert!(ask(&app).is_undo && ask(&app).title().starts_with("Undo: "));
    assert_eq!(ask(&app).plan.consequences.len(), 1);
    Ok(acts(&press(&mut app, "y")))
}

fn becomes(id_text: &'static str, n: u8, state: KeyState) -> impl Fn(&mut App) {
    move |app| {
        news(app, News::KeysOf(id(id_text), rows([key(id_text, n, state)])));
    }
}

#[test]
fn the_last_act_is_taken_back_guarded_by_what_it_left() {
    let suspended = undone("3sy", becomes("web1", 1, KeyState::Suspended));
    assert_eq!(suspended, Ok(vec![(Act::Resume, "web1".to_owned(), Some(KeyState::Suspended))]));
    let accepted = undone("ay", becomes("db1", 3, KeyState::Accepted));
    assert_eq!(accepted, Ok(vec![(Act::Delete, "db1".to_owned(), Some(KeyState::Accepted))]));
    let rejected = undone("3ry", becomes("web1", 1, KeyState::Rejected));
    assert_eq!(rejected, Ok(vec![(Act::Accept, "web1".to_owned(), Some(KeyState::Rejected))]));
    let deleted = undone("dy", |app| {
        news(app, News::KeysOf(id("db1"), Vec::new()));
    });
    assert!(deleted.unwrap_err().contains("the key is forgotten"));
    let overtaken = undone("ay", becomes("db1", 3, KeyState::Suspended));
    assert!(overtaken.unwrap_err().contains("db1 changed meanwhile, it is suspended now"));
}

#[test]
fn an_undo_is_not_undone_by_the_next_one() {
    let mut app = app(fleet());
    for (keys, left) in [("3sy", KeyState::Suspended), ("uy", KeyState::Accepted)] {
        assert_eq!(acts(&press(&mut app, keys)).len(), 1);
        news(&mut app, News::Acted(vec![Outcome::Done]));
        news(&mut app, News::ActsOver);
        news(&mut app, News::KeysOf(id("web1"), rows([key("web1", 1, left)])));
    }
    assert_eq!(message(&app), "undone: web1 is resumed");
    press(&mut app, "u");
    assert!(message(&app).contains("nothing was done"), "{}", message(&app));
}

#[test]
fn an_undo_that_is_refused_does_not_stand_before_the_others() {
    let mut app = app(fleet());
    done(&mut app, "3sy");
    done(&mut app, "1ay");
    assert_eq!(acts(&press(&mut app, "uy")), [(Act::Delete, "db1".to_owned(), Some(KeyState::Accepted))]);
    news(&mut app, News::Acted(vec![refused("too busy")]));
    news(&mut app, News::ActsOver);
    assert!(message(&app).contains("too busy"));
    assert_eq!(acts(&press(&mut app, "uy")), [(Act::Resume, "web1".to_owned(), Some(KeyState::Suspended))]);
    // Nor does one that there is no way back from.
    let mut app = self::app(fleet());
    done(&mut app, "3sy");
    done(&mut app, "1dy");
    press(&mut app, "u");
    assert!(message(&app).contains("the key is forgotten"), "{}", message(&app));
    assert_eq!(acts(&press(&mut app, "uy")), [(Act::Resume, "web1".to_owned(), Some(KeyState::Suspended))]);
}

#[test]
fn what_others_decided_is_not_undone_even_if_it_looks_the_same() {
    let suspended = || News::KeysOf(id("web1"), rows([key("web1", 1, KeyState::Suspended)]));
    let mut app = app(fleet());
    press(&mut app, "3sy");
    news(&mut app, decided("web1", 1, "suspended"));
    news(&mut app, News::Acted(vec![Outcome::Done]));
    news(&mut app, News::ActsOver);
    // Under the same name in another window: resumed, and suspended for a reason of their own.
    for what in ["resumed", "suspended"] {
        news(&mut app, decided("web1", 1, what));
    }
    news(&mut app, suspended());
    press(&mut app, "u");
    assert!(app.over.is_none() && message(&app).contains("web1 changed meanwhile"), "{}", message(&app));

    // While the question is open.
    done(&mut app, "1/twin\nry");
    press(&mut app, "u");
    assert!(ask(&app).is_undo);
    let fingerprint = ask(&app).plan.steps[0].name.fingerprint;
    let n = if fingerprint == crate::samples::fingerprint(5) { 5 } else { 6 };
    news(&mut app, decided("twin", n, "deleted"));
    assert!(app.over.is_none() && message(&app).contains("nothing was undone"), "{}", message(&app));
    assert_eq!(press(&mut app, "y"), []);
}

#[test]
fn where_decisions_may_have_been_missed_nothing_is_undone() {
    for missed in [News::Missed, News::Lost("gone".to_owned())] {
        for is_open in [false, true] {
            let mut app = app(fleet());
            done(&mut app, "3sy");
            if is_open {
                press(&mut app, "u");
            }
            let missed = match &missed {
                News::Lost(why) => News::Lost(why.clone()),
                _ => News::Missed,
            };
            news(&mut app, missed);
            news(&mut app, News::Back(Box::new(contact(Role::Admin, fleet()))));
            assert_eq!(press(&mut app, "y"), []);
            press(&mut app, "u");
            assert!(message(&app).contains("others may have decided"), "{}", message(&app));
        }
    }
}

#[test]
fn an_answer_that_is_lost_while_the_master_lives_is_found_out_too() {
    let mut app = app(pending(2));
    press(&mut app, "ay");
    news(&mut app, News::Acted(vec![Outcome::Unknown("no answer".to_owned())]));
    assert_eq!(news(&mut app, News::ActsOver), [Effect::Refetch(None)]);
    press(&mut app, "a");
    assert!(app.over.is_none() && message(&app).contains("under way"), "{}", message(&app));
    let accepted = [key("web00", 0, KeyState::Accepted), key("web01", 1, KeyState::Pending)];
    news(&mut app, News::Keys(rows(accepted)));
    assert_eq!(message(&app), "web00 is accepted; u undoes that");
    assert_eq!(acts(&press(&mut app, "uy")), [(Act::Delete, "web00".to_owned(), Some(KeyState::Accepted))]);
}

#[test]
fn what_was_lost_on_the_way_is_found_out_from_the_next_list() {
    let mut app = app(pending(5));
    press(&mut app, "*ry");
    news(&mut app, News::Acted(vec![Outcome::Done]));
    news(&mut app, News::Lost("killed".to_owned()));
    news(&mut app, News::Acted(vec![Outcome::Unknown("it is not known".to_owned()); 3]));
    news(&mut app, News::Acted(vec![refused("not tried")]));
    assert_eq!(news(&mut app, News::ActsOver), [Effect::Refetch(None)]);
    assert_eq!(app.batch.as_ref().unwrap().sentence(), "1 of 5 rejected, 1 refused, 3 not known yet");
    // Two of the three were done, and one not.
    let mut now = pending(5);
    for key in &mut now[..3] {
        key.state = KeyState::Rejected;
    }
    news(&mut app, News::Back(Box::new(contact(Role::Admin, now))));
    let batch = app.batch.as_ref().unwrap();
    assert_eq!(batch.sentence(), "3 keys rejected, 2 refused");
    assert!(matches!(batch.lines()[0].1, Outcome::Refused(why) if why.contains("it is pending")));
    press(&mut app, "\nu");
    assert_eq!(ask(&app).plan.steps.len(), 3, "what was done can be undone");
}
