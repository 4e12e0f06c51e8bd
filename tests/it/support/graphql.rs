//! Checks GraphQL documents, their variables and answers against `tests/standin/schema.graphql`.
//!
//! The stand-in only has Python's standard library and does not check this; [`Standin::journal`] and the end of every
//! stand-in check all requests.
//!
//! [`Standin::journal`]: super::standin::Standin::journal

use apollo_compiler::executable::{Operation, Selection, SelectionSet};
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::response::JsonMap;
use apollo_compiler::schema::{ExtendedType, Type};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

static SCHEMA: LazyLock<Valid<Schema>> = LazyLock::new(|| {
    let path = super::repository().join("tests/standin/schema.graphql");
    let text = std::fs::read_to_string(&path).unwrap();
    Schema::parse_and_validate(text, path).unwrap_or_else(|invalid| panic!("{}", invalid.errors))
});

/// A valid document, or its errors.
type Checked = Result<Valid<ExecutableDocument>, Vec<String>>;

/// Errors in this request of a stand-in's journal, and in its answer.
pub fn problems(request: &Value) -> Vec<String> {
    // The object store, and what was refused before it was read.
    let Some(query) = request["query"].as_str() else { return Vec::new() };
    let document = checked(query);
    let document = match &*document {
        Ok(document) => document,
        Err(problems) => return problems.clone(),
    };
    let Ok(operation) = document.operations.get(None) else {
        return vec!["not exactly one operation".to_string()];
    };
    let mut problems = variable_problems(operation, &request["variables"]);
    // Null is the answer where a field failed that may not be null.
    let failed = |answer: &Value| answer.is_null() && request.get("errors").is_some();
    if let Some(answer) = request.get("answer").filter(|answer| !failed(answer)) {
        let place = Place { document, path: "data".to_string() };
        place.check_members(&[&operation.selection_set], operation.object_type(), answer, &mut problems);
    }
    problems
}

/// The document of this text. Each text is parsed once: a long wait sends the same query many times.
fn checked(query: &str) -> Arc<Checked> {
    static KNOWN: Mutex<BTreeMap<String, Arc<Checked>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let read = || {
        let read = ExecutableDocument::parse_and_validate(&SCHEMA, query, "query.graphql");
        Arc::new(read.map_err(|invalid| invalid.errors.iter().map(|error| error.to_json().message).collect()))
    };
    known.entry(query.to_string()).or_insert_with(read).clone()
}

fn variable_problems(operation: &Operation, variables: &Value) -> Vec<String> {
    let Ok(values) = serde_json::from_value::<JsonMap>(variables.clone()) else {
        return vec!["variables that are not an object".to_string()];
    };
    let coerced = coerce_variable_values(&SCHEMA, operation, &values).err();
    let mut problems: Vec<_> = coerced.iter().map(|error| error.message().to_string()).collect();
    let declared = |name: &str| operation.variables.iter().any(|variable| variable.name == *name);
    let undeclared = values.keys().map(|name| name.as_str()).filter(|name| !declared(name));
    problems.extend(undeclared.map(|name| format!("variable `{name}` is not declared")));
    problems
}

/// Where in an answer.
struct Place<'a> {
    document: &'a ExecutableDocument,
    path: String,
}

impl Place<'_> {
    fn at(&self, member: impl std::fmt::Display) -> Place<'_> {
        Place { document: self.document, path: format!("{}.{member}", self.path) }
    }

    /// Check that `value` has this type and exactly the selected fields.
    fn check(&self, selected: &[&SelectionSet], wanted: &Type, value: &Value, problems: &mut Vec<String>) {
        if value.is_null() {
            if wanted.is_non_null() {
                problems.push(format!("answer: {} is null, not {wanted}", self.path));
            }
        } else if wanted.is_list() {
            let Some(items) = value.as_array() else {
                return problems.push(format!("answer: {} is {value}, not {wanted}", self.path));
            };
            for (index, item) in items.iter().enumerate() {
                self.at(index).check(selected, wanted.item_type(), item, problems);
            }
        } else if let Some(concrete) = concrete_type(wanted.inner_named_type(), value) {
            self.check_members(selected, concrete, value, problems);
        } else if !is_leaf(wanted.inner_named_type(), value) {
            problems.push(format!("answer: {} is {value}, not {wanted}", self.path));
        }
    }

    fn check_members(
        &self,
        selected: &[&SelectionSet],
        concrete: &str,
        value: &Value,
        problems: &mut Vec<String>,
    ) {
        let mut fields = BTreeMap::new();
        selected.iter().for_each(|selected| self.collect(selected, concrete, &mut fields));
        let there: BTreeSet<&str> = value.as_object().into_iter().flatten().map(|(key, _)| &**key).collect();
        if there != fields.keys().copied().collect() {
            problems.push(format!("answer: {} has {there:?}, asked for was {:?}", self.path, fields.keys()));
        }
        for (key, (wanted, selected)) in fields {
            self.at(key).check(&selected, wanted, &value[key], problems);
        }
    }

    /// The required fields of a value of this type: by key, the type and its selection.
    fn collect<'b>(&'b self, selected: &'b SelectionSet, concrete: &str, fields: &mut Fields<'b>) {
        for selection in &selected.selections {
            match selection {
                Selection::Field(field) => {
                    let entry = fields.entry(field.response_key().as_str());
                    entry.or_insert_with(|| (field.ty(), Vec::new())).1.push(&field.selection_set);
                }
                Selection::InlineFragment(fragment) => {
                    self.collect_fragment(&fragment.selection_set, concrete, fields);
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = &self.document.fragments[&spread.fragment_name];
                    self.collect_fragment(&fragment.selection_set, concrete, fields);
                }
            }
        }
    }

    fn collect_fragment<'b>(&'b self, selected: &'b SelectionSet, concrete: &str, fields: &mut Fields<'b>) {
        if selected.ty == *concrete || SCHEMA.is_subtype(&selected.ty, concrete) {
            self.collect(selected, concrete, fields);
        }
    }
}

type Fields<'a> = BTreeMap<&'a str, (&'a Type, Vec<&'a SelectionSet>)>;

/// The object type of `value`, which is one of the types that `wanted` stands for; `None` for one that is not.
fn concrete_type<'a>(wanted: &'a str, value: &'a Value) -> Option<&'a str> {
    match &SCHEMA.types[wanted] {
        // Only fields of the interface itself are asked for.
        ExtendedType::Object(_) | ExtendedType::Interface(_) => value.is_object().then_some(wanted),
        ExtendedType::Union(_) => value["__typename"].as_str().filter(|name| SCHEMA.is_subtype(wanted, name)),
        _ => None,
    }
}

fn is_leaf(wanted: &str, value: &Value) -> bool {
    match (&SCHEMA.types[wanted], wanted) {
        (ExtendedType::Enum(wanted), _) => {
            value.as_str().is_some_and(|name| wanted.values.contains_key(name))
        }
        (ExtendedType::Scalar(_), "String" | "ID") => value.is_string(),
        (ExtendedType::Scalar(_), "Int") => {
            value.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        (ExtendedType::Scalar(_), "Float") => value.is_number(),
        (ExtendedType::Scalar(_), "Boolean") => value.is_boolean(),
        (ExtendedType::Scalar(_), _) => true,
        _ => false,
    }
}
