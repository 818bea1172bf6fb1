/* The SQL tables of the catalogue, schema version 1. Codes are the primary keys: 0, 1, 2… without gaps. */
#include "catalogue.h"

const char ctm__catalogue_schema[] =
    "CREATE TABLE channels("
    " code INTEGER PRIMARY KEY CHECK (code >= 0),"
    " name TEXT NOT NULL UNIQUE,"
    " description TEXT) STRICT;"

    "CREATE TABLE departments("
    " code INTEGER PRIMARY KEY CHECK (code >= 0),"
    " name TEXT NOT NULL UNIQUE,"
    " description TEXT) STRICT;"

    "CREATE TABLE stages("
    " code INTEGER PRIMARY KEY CHECK (code >= 0),"
    " name TEXT NOT NULL UNIQUE,"
    " position INTEGER NOT NULL,"
    " description TEXT) STRICT;"

    "CREATE TABLE touchpoints("
    " code INTEGER PRIMARY KEY CHECK (code >= 0),"
    " name TEXT NOT NULL UNIQUE,"
    " type TEXT CHECK (type IN ('physical', 'digital', 'human', 'event', 'sensory')),"
    " channel INTEGER REFERENCES channels(code),"
    " stage INTEGER REFERENCES stages(code),"
    " department INTEGER REFERENCES departments(code),"
    " role TEXT,"
    " parent INTEGER REFERENCES touchpoints(code) CHECK (parent <> code),"
    " description TEXT) STRICT;"

    "CREATE TABLE journeys("
    " code INTEGER PRIMARY KEY CHECK (code >= 0),"
    " name TEXT NOT NULL UNIQUE,"
    " description TEXT) STRICT;"
    /* Versions are only ever added: 1, 2, 3… */
    "CREATE TABLE journey_versions("
    " journey INTEGER NOT NULL REFERENCES journeys(code),"
    " version INTEGER NOT NULL CHECK (version >= 1),"
    " within INTEGER NOT NULL CHECK (within >= 0)," /* µs; 0: no limit */
    " PRIMARY KEY (journey, version)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE journey_stages("
    " journey INTEGER NOT NULL,"
    " version INTEGER NOT NULL,"
    " position INTEGER NOT NULL CHECK (position >= 1),"
    " stage INTEGER NOT NULL REFERENCES stages(code),"
    " PRIMARY KEY (journey, version, position),"
    " UNIQUE (journey, version, stage),"
    " FOREIGN KEY (journey, version) REFERENCES journey_versions(journey, version)) STRICT, WITHOUT ROWID;"
    /* A stage without rows here has the touchpoints whose stage it is. */
    "CREATE TABLE journey_touchpoints("
    " journey INTEGER NOT NULL,"
    " version INTEGER NOT NULL,"
    " position INTEGER NOT NULL,"
    " ordinal INTEGER NOT NULL CHECK (ordinal >= 1),"
    " touchpoint INTEGER NOT NULL REFERENCES touchpoints(code),"
    " PRIMARY KEY (journey, version, position, ordinal),"
    " UNIQUE (journey, version, position, touchpoint),"
    " FOREIGN KEY (journey, version, position) REFERENCES journey_stages(journey, version, position))"
    " STRICT, WITHOUT ROWID;"

    "CREATE TABLE surveys("
    " code INTEGER PRIMARY KEY CHECK (code >= 0),"
    " name TEXT NOT NULL UNIQUE,"
    " kind TEXT NOT NULL CHECK (kind IN ('nps', 'csat', 'ces')),"
    " min REAL NOT NULL,"
    " max REAL NOT NULL CHECK (max > min),"
    " step REAL NOT NULL CHECK (step > 0),"
    " better TEXT NOT NULL DEFAULT 'high' CHECK (better IN ('high', 'low')),"
    " top INTEGER CHECK (top >= 1)," /* null: the scale's default */
    " description TEXT) STRICT;"

    "CREATE TABLE segments("
    " code INTEGER PRIMARY KEY CHECK (code >= 0),"
    " name TEXT NOT NULL UNIQUE,"
    " \"where\" TEXT," /* null: the customers put into it by name */
    " description TEXT) STRICT;"

    /* Attributes of interactions (of_customer 0) and of customers (1), numbered apart. */
    "CREATE TABLE attributes("
    " of_customer INTEGER NOT NULL CHECK (of_customer IN (0, 1)),"
    " code INTEGER NOT NULL CHECK (code >= 0),"
    " name TEXT NOT NULL,"
    " type TEXT NOT NULL CHECK (type IN ('bool', 'int', 'real', 'text', 'time', 'date')),"
    " PRIMARY KEY (of_customer, code),"
    " UNIQUE (of_customer, name)) STRICT, WITHOUT ROWID;";
