# SPDX-License-Identifier: GPL-2.0
"""Instances with attributes, methods and properties that call each other."""

COUNT = 24000


class Shape:
    def __init__(self, name):
        self.name = name
        self.points = []

    def add(self, x, y):
        self.points.append(Point(x, y))
        return self

    @property
    def centre(self):
        total = Point(0.0, 0.0)
        for point in self.points:
            total = total + point
        return total.scaled(1 / len(self.points))


class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def __add__(self, other):
        return Point(self.x + other.x, self.y + other.y)

    def scaled(self, factor):
        return Point(self.x * factor, self.y * factor)


def build(count):
    shapes = []
    for i in range(count):
        shape = Shape(f"shape {i}")
        for corner in range(5):
            shape.add(i + corner * 0.5, i - corner * 0.5)
        shape.middle = shape.centre
        shapes.append(shape)
    return shapes
