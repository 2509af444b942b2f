//! Whom a recorded line means: which keys of its case can exist here, and which an act is for.

use super::case::{Action, Case, Keys};
use super::world::can_exist;

/// The keys of a case that can exist here.
pub(super) fn possible(keys: &Keys) -> Keys {
    let mut keys = keys.clone();
    for of_state in keys.values_mut() {
        of_state.retain(|id, letter| can_exist(id, letter));
    }
    keys.retain(|_, of_state| !of_state.is_empty());
    keys
}

/// Keys before that cannot exist here: folder, id.
pub(super) fn lost(case: &Case) -> impl Iterator<Item = (&str, &str)> {
    case.before.iter().flat_map(|(folder, of_state)| {
        let lost = of_state.iter().filter(|(id, letter)| !can_exist(id, letter));
        lost.map(|(id, _)| (folder.as_str(), id.as_str()))
    })
}

/// Keys that an act is for: folder, id.
pub(super) fn selected(case: &Case) -> impl Iterator<Item = (&str, &str)> {
    let folders = case.folders();
    case.before.iter().filter(move |(folder, _)| folders.contains(&folder.as_str())).flat_map(
        |(folder, of_state)| {
            let found = of_state.iter().filter(|(id, letter)| can_exist(id, letter) && case.matches(id));
            found.map(|(id, _)| (folder.as_str(), id.as_str()))
        },
    )
}

/// Ids in the pattern that have no key of those that an act is for.
pub(super) fn missing(case: &Case) -> impl Iterator<Item = &str> {
    let words = case.pattern().split(',').map(str::trim);
    let ids = words.filter(|word| !word.is_empty() && !word.contains(['*', '?', '[']));
    ids.filter(move |word| !selected(case).any(|(_, id)| id == *word))
}

fn has(case: &Case, folder: &str, id: &str) -> bool {
    case.before.get(folder).is_some_and(|of_state| of_state.contains_key(id))
}

/// Ids of which an act finds several keys, so that it is a question which one is meant. A denied
/// key never stands alone here: where the case has no other key of its id, a rejected one is put
/// beside it.
pub(super) fn several(case: &Case) -> impl Iterator<Item = &str> {
    let is_clear = case.is_all() && case.action() != Action::Accept;
    let folders = case.folders();
    let is_asked = case.action().is_act() && !is_clear;
    let denied = selected(case).filter(move |(folder, _)| is_asked && *folder == "minions_denied");
    denied.map(|(_, id)| id).filter(move |id| {
        let others = ["minions", "minions_pre", "minions_rejected"];
        let stands_alone = !others.iter().any(|folder| has(case, folder, id));
        let has_other = others.iter().any(|folder| folders.contains(folder) && has(case, folder, id));
        has_other || (stands_alone && folders.contains(&"minions_rejected"))
    })
}

/// Ids whose accepted key would be swapped for another.
pub(super) fn swaps(case: &Case) -> impl Iterator<Item = &str> {
    let accepts = case.action() == Action::Accept;
    let chosen = selected(case)
        .filter(move |(folder, id)| accepts && *folder != "minions" && has(case, "minions", id));
    chosen.map(|(_, id)| id)
}

/// The keys after the act was done to all that it is for.
pub(super) fn done_to_selected(case: &Case) -> Keys {
    let mut after = possible(&case.before);
    for (folder, id) in selected(case) {
        let letter = after.get_mut(folder).and_then(|of_state| of_state.remove(id));
        let to = match case.action() {
            Action::Accept => "minions",
            Action::Reject => "minions_rejected",
            _ => continue,
        };
        after.entry(to.to_owned()).or_default().extend(letter.map(|letter| (id.to_owned(), letter)));
    }
    after.retain(|_, of_state| !of_state.is_empty());
    after
}
