-- Flights of one week. The delay is in minutes, and NULL if the flight was cancelled.

CREATE TABLE airports (
    code TEXT PRIMARY KEY,
    city TEXT NOT NULL,
    country TEXT NOT NULL
);
CREATE TABLE flights (
    number INTEGER PRIMARY KEY,
    origin TEXT NOT NULL REFERENCES airports (code),
    destination TEXT NOT NULL REFERENCES airports (code),
    departs TEXT NOT NULL,
    minutes INTEGER NOT NULL,
    seats INTEGER NOT NULL,
    delay INTEGER
);
CREATE TABLE bookings (
    id INTEGER PRIMARY KEY,
    flight INTEGER NOT NULL REFERENCES flights (number),
    passenger TEXT NOT NULL,
    price NUMERIC(8, 2) NOT NULL,
    cabin TEXT NOT NULL
);

INSERT INTO airports (code, city, country) VALUES
    ('AMS', 'Amsterdam', 'NL'),
    ('BCN', 'Barcelona', 'ES'),
    ('CDG', 'Paris', 'FR'),
    ('DUB', 'Dublin', 'IE'),
    ('HEL', 'Helsinki', 'FI'),
    ('LIS', 'Lisbon', 'PT'),
    ('OSL', 'Oslo', 'NO'),
    ('VIE', 'Vienna', 'AT');

INSERT INTO flights (number, origin, destination, departs, minutes, seats, delay) VALUES
    (100, 'AMS', 'LIS', '2026-06-01T06:45', 170, 5, 10),
    (101, 'LIS', 'AMS', '2026-06-02T07:00', 165, 4, 0),
    (102, 'AMS', 'OSL', '2026-06-03T08:30', 105, 4, 0),
    (103, 'OSL', 'HEL', '2026-06-04T09:30', 90, 5, 0),
    (104, 'HEL', 'VIE', '2026-06-05T10:00', 150, 6, 15),
    (105, 'VIE', 'BCN', '2026-06-06T11:30', 145, 6, 0),
    (106, 'BCN', 'LIS', '2026-06-07T12:30', 120, 4, 0),
    (107, 'CDG', 'DUB', '2026-06-01T13:45', 110, 4, 75),
    (108, 'DUB', 'CDG', '2026-06-02T14:45', 105, 4, 10),
    (109, 'CDG', 'VIE', '2026-06-03T15:00', 120, 5, 25),
    (110, 'OSL', 'CDG', '2026-06-04T16:00', 140, 6, NULL),
    (111, 'LIS', 'CDG', '2026-06-05T17:30', 150, 5, 0),
    (112, 'VIE', 'AMS', '2026-06-06T18:45', 115, 4, 25),
    (113, 'DUB', 'BCN', '2026-06-07T19:00', 155, 5, 60);

INSERT INTO bookings (id, flight, passenger, price, cabin) VALUES
    (1, 100, 'Ivo', 149.5, 'business'),
    (2, 100, 'Lena', 210, 'economy'),
    (3, 100, 'Noor', 210, 'economy'),
    (4, 101, 'Emil', 210, 'economy'),
    (5, 101, 'Marco', 129, 'business'),
    (6, 102, 'Ravi', 89, 'economy'),
    (7, 102, 'Zoe', 89, 'economy'),
    (8, 103, 'Ivo', 210, 'economy'),
    (9, 104, 'Emil', 89, 'business'),
    (10, 104, 'Noor', 129, 'business'),
    (11, 104, 'Petra', 89, 'business'),
    (12, 104, 'Ravi', 210, 'business'),
    (13, 105, 'Emil', 210, 'economy'),
    (14, 105, 'Kwame', 129, 'economy'),
    (15, 105, 'Marco', 129, 'economy'),
    (16, 105, 'Zoe', 75.25, 'economy'),
    (17, 106, 'Ivo', 75.25, 'business'),
    (18, 106, 'Lena', 75.25, 'economy'),
    (19, 106, 'Noor', 89, 'business'),
    (20, 106, 'Petra', 89, 'economy'),
    (21, 107, 'Ravi', 89, 'economy'),
    (22, 108, 'Ivo', 129, 'economy'),
    (23, 108, 'Kwame', 75.25, 'business'),
    (24, 108, 'Noor', 210, 'economy'),
    (25, 108, 'Zoe', 75.25, 'economy'),
    (26, 110, 'Emil', 129, 'business'),
    (27, 110, 'Kwame', 89, 'economy'),
    (28, 111, 'Lena', 149.5, 'business'),
    (29, 111, 'Noor', 210, 'economy'),
    (30, 111, 'Petra', 75.25, 'economy'),
    (31, 111, 'Sofia', 129, 'economy'),
    (32, 112, 'Lena', 129, 'business'),
    (33, 112, 'Marco', 89, 'economy'),
    (34, 112, 'Petra', 129, 'business'),
    (35, 113, 'Noor', 210, 'business'),
    (36, 113, 'Zoe', 129, 'economy');
