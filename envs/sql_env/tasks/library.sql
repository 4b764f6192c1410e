-- A lending library. A loan that has not been returned has NULL there; a loan is for 21 days.

CREATE TABLE authors (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    country TEXT NOT NULL
);
CREATE TABLE books (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    author_id INTEGER NOT NULL REFERENCES authors (id),
    year INTEGER NOT NULL,
    copies INTEGER NOT NULL
);
CREATE TABLE members (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    since TEXT
);
CREATE TABLE loans (
    id INTEGER PRIMARY KEY,
    book_id INTEGER NOT NULL REFERENCES books (id),
    member_id INTEGER NOT NULL REFERENCES members (id),
    lent TEXT NOT NULL,
    returned TEXT
);

INSERT INTO authors (id, name, country) VALUES
    (1, 'Mira Holt', 'NO'),
    (2, 'Tomas Reyes', 'ES'),
    (3, 'Anneke de Vries', 'NL'),
    (4, 'Sana Malik', 'PK'),
    (5, 'Paul Okafor', 'NG'),
    (6, 'Yuki Tanabe', 'JP'),
    (7, 'Ilse Brandt', 'DE');

INSERT INTO books (id, title, author_id, year, copies) VALUES
    (1, 'The Salt Road', 5, 1998, 3),
    (2, 'Winter Bees', 4, 2016, 2),
    (3, 'A House of Glass', 4, 1987, 3),
    (4, 'Nine Rivers', 2, 2019, 2),
    (5, 'The Cartographer', 4, 2015, 1),
    (6, 'Low Tide', 3, 2015, 1),
    (7, 'Letters to Nobody', 4, 1999, 2),
    (8, 'Iron and Ash', 4, 2020, 2),
    (9, 'The Quiet Machine', 2, 1972, 2),
    (10, 'Paper Boats', 6, 2006, 3),
    (11, 'Under the Lime Tree', 4, 1983, 3),
    (12, 'Last Train North', 2, 1989, 3),
    (13, 'The Orchard Thief', 5, 2013, 1),
    (14, 'Small Hours', 1, 2008, 1);

INSERT INTO members (id, name, since) VALUES
    (1, 'Olga Petrov', '2024-02-26'),
    (2, 'Sam Whitfield', '2022-11-01'),
    (3, 'Nadia Rahman', NULL),
    (4, 'Pietro Gallo', '2024-12-14'),
    (5, 'Wen Li', '2022-07-23'),
    (6, 'Rosa Lindqvist', '2025-01-04'),
    (7, 'Theo Marsh', '2022-04-20'),
    (8, 'Amara Diallo', '2022-12-05');

INSERT INTO loans (id, book_id, member_id, lent, returned) VALUES
    (1, 3, 3, '2026-01-06', '2026-02-06'),
    (2, 8, 2, '2026-01-11', '2026-01-25'),
    (3, 1, 2, '2026-01-13', '2026-01-29'),
    (4, 14, 5, '2026-01-19', '2026-02-15'),
    (5, 11, 1, '2026-01-27', '2026-02-02'),
    (6, 11, 5, '2026-01-31', '2026-02-28'),
    (7, 2, 2, '2026-02-06', '2026-03-08'),
    (8, 9, 3, '2026-02-17', '2026-03-23'),
    (9, 1, 3, '2026-02-23', '2026-03-21'),
    (10, 3, 2, '2026-03-01', '2026-03-22'),
    (11, 6, 5, '2026-03-07', '2026-04-11'),
    (12, 6, 5, '2026-03-12', '2026-03-29'),
    (13, 6, 1, '2026-03-18', '2026-04-05'),
    (14, 5, 3, '2026-03-24', '2026-04-04'),
    (15, 3, 3, '2026-03-29', '2026-04-25'),
    (16, 13, 2, '2026-04-06', '2026-04-10'),
    (17, 13, 3, '2026-04-07', '2026-05-16'),
    (18, 10, 1, '2026-04-13', '2026-04-23'),
    (19, 8, 5, '2026-04-22', '2026-05-10'),
    (20, 2, 4, '2026-04-28', '2026-05-21'),
    (21, 14, 5, '2026-05-01', '2026-06-07'),
    (22, 8, 4, '2026-05-07', NULL),
    (23, 2, 2, '2026-05-18', NULL),
    (24, 3, 6, '2026-05-22', NULL),
    (25, 6, 4, '2026-05-27', '2026-06-14'),
    (26, 8, 5, '2026-06-05', '2026-06-30'),
    (27, 13, 6, '2026-06-08', NULL),
    (28, 11, 3, '2026-06-16', NULL),
    (29, 8, 2, '2026-06-23', '2026-07-07'),
    (30, 5, 1, '2026-06-24', '2026-07-08');
