//! The application's own state on a session, by type.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

type Values = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// A map from types to values, one value of a type.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// # use ws_factory::SessionExtensions;
/// # let extensions = SessionExtensions::default();
/// extensions.insert(AtomicU32::new(7));
/// let count = extensions.get::<AtomicU32>().unwrap();
/// assert_eq!(count.load(Ordering::Relaxed), 7);
/// ```
#[derive(Default)]
pub struct SessionExtensions {
    values: OnceLock<Box<Mutex<Values>>>,
}

impl SessionExtensions {
    /// Puts a value in the place of its type; returns the one that was there.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let values = self.values.get_or_init(Box::default);
        let before = lock(values).insert(TypeId::of::<T>(), Arc::new(value));
        before.and_then(|value| value.downcast().ok())
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = lock(self.values.get()?).get(&TypeId::of::<T>()).cloned()?;
        value.downcast().ok()
    }

    /// Takes the value of this type out.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = lock(self.values.get()?).remove(&TypeId::of::<T>())?;
        value.downcast().ok()
    }
}

fn lock(values: &Mutex<Values>) -> MutexGuard<'_, Values> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for SessionExtensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.values.get().map_or(0, |values| lock(values).len());
        f.debug_struct("SessionExtensions")
            .field("len", &len)
            .finish_non_exhaustive()
    }
}
